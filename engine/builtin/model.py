"""The model, Llama with Hugging Face's tensor names, and its 4-bit form."""
import math

import torch
import torch.nn.functional as F

from tokenizer import VOCAB

CONFIG = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=VOCAB, hidden_size=192, intermediate_size=512,
    num_hidden_layers=8, num_attention_heads=6, num_key_value_heads=2, head_dim=32, max_position_embeddings=1024,
    rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None, hidden_act="silu", attention_bias=False, mlp_bias=False,
    tie_word_embeddings=True, torch_dtype="float16",
)


def shapes():
    hidden, feed = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    q, kv = (CONFIG[f"num_{name}_heads"] * CONFIG["head_dim"] for name in ("attention", "key_value"))
    yield "model.embed_tokens.weight", (CONFIG["vocab_size"], hidden)
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (hidden,)
        yield at + "self_attn.q_proj.weight", (q, hidden)
        yield at + "self_attn.k_proj.weight", (kv, hidden)
        yield at + "self_attn.v_proj.weight", (kv, hidden)
        yield at + "self_attn.o_proj.weight", (hidden, q)
        yield at + "post_attention_layernorm.weight", (hidden,)
        yield at + "mlp.gate_proj.weight", (feed, hidden)
        yield at + "mlp.up_proj.weight", (feed, hidden)
        yield at + "mlp.down_proj.weight", (hidden, feed)
    yield "model.norm.weight", (hidden,)


def initial():
    torch.manual_seed(1)
    weights = {}
    for name, shape in shapes():
        if len(shape) == 1:
            weights[name] = torch.ones(shape)
        elif "embed" in name:
            weights[name] = torch.randn(shape) * 0.05
        else:
            residual = "o_proj" in name or "down_proj" in name
            weights[name] = torch.randn(shape) * (0.3 if residual else 1.0) / math.sqrt(shape[1])
    return {name: weight.requires_grad_() for name, weight in weights.items()}


class Norm(torch.autograd.Function):
    """RMS norm x / sqrt(mean(x^2) + eps) * weight, with its gradient written out to save passes over memory."""

    @staticmethod
    def forward(context, x, weight):
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + CONFIG["rms_norm_eps"])
        normed = x * scale
        context.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(context, gradient):
        normed, scale, weight = context.saved_tensors
        weight_gradient = (gradient * normed).flatten(0, -2).sum(0)
        gradient = gradient * weight
        inner = (gradient * normed).mean(-1, keepdim=True)
        return torch.addcmul(gradient, normed, inner, value=-1) * scale, weight_gradient


def rope_tables(length, dtype=torch.float32):
    half = CONFIG["head_dim"] // 2
    angles = torch.outer(torch.arange(length, dtype=torch.float64), CONFIG["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) / half))
    return angles.cos().repeat(1, 2).to(dtype), torch.cat((-angles.sin(), angles.sin()), 1).to(dtype)  # [position][headDim]


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((x[..., half:], x[..., :half]), -1) * sin


def forward(weights, ids, matmul=F.linear):
    """ids [batch][position] -> hidden states after the last norm [batch][position][hidden]."""
    batch, length = ids.shape
    heads, kv_heads, head_dim = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"], CONFIG["head_dim"]
    x = F.embedding(ids, weights["model.embed_tokens.weight"])
    cos, sin = rope_tables(length, x.dtype)
    mask = torch.full((length, length), -math.inf, dtype=x.dtype).triu(1).repeat(heads // kv_heads, 1)
    for layer in range(CONFIG["num_hidden_layers"]):
        w = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
        h = Norm.apply(x, w("input_layernorm"))
        qkv = matmul(h, torch.cat((w("self_attn.q_proj"), w("self_attn.k_proj"), w("self_attn.v_proj"))))
        qkv = qkv.view(batch, length, heads + 2 * kv_heads, head_dim).transpose(1, 2)
        turned = rotate(qkv[:, :heads + kv_heads], cos, sin)
        # Query heads that share a key/value head lie below each other: [batch * kvHeads][heads/kvHeads * position][headDim]
        q = turned[:, :heads].reshape(batch * kv_heads, -1, head_dim) * head_dim ** -0.5
        k = turned[:, heads:].reshape(batch * kv_heads, length, head_dim)
        v = qkv[:, heads + kv_heads:].reshape(batch * kv_heads, length, head_dim)
        scores = torch.baddbmm(mask, q, k.transpose(1, 2))
        a = torch.bmm(scores.softmax(-1), v).view(batch, heads, length, head_dim)
        x = x + matmul(a.transpose(1, 2).reshape(batch, length, -1), w("self_attn.o_proj"))
        h = Norm.apply(x, w("post_attention_layernorm"))
        gate, up = matmul(h, torch.cat((w("mlp.gate_proj"), w("mlp.up_proj")))).chunk(2, -1)
        x = x + matmul(F.silu(gate) * up, w("mlp.down_proj"))
    return Norm.apply(x, weights["model.norm.weight"])


class Bf16Matmul(torch.autograd.Function):
    """x @ weight^T of bf16 inputs, which AVX-512 multiplies twice as fast as f32 ones; results are f32 again."""

    @staticmethod
    def forward(context, x, weight):
        x, weight = x.bfloat16(), weight.bfloat16()
        context.save_for_backward(x, weight)
        return F.linear(x, weight).float()

    @staticmethod
    def backward(context, gradient):
        x, weight = context.saved_tensors
        gradient = gradient.bfloat16()
        return (gradient @ weight).float(), (gradient.flatten(0, -2).t() @ x.flatten(0, -2)).float()


def loss_of(weights, ids, emphasis, matmul=F.linear):
    """ids [batch][position + 1], emphasis [batch][position] -> mean loss, weighted by emphasis."""
    hidden = forward(weights, ids[:, :-1], matmul)
    logits = matmul(hidden, weights["model.embed_tokens.weight"])
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (losses * emphasis.flatten()).sum() / emphasis.sum()


def quantise(weight):
    """[rows][cols] -> codes [rows][cols/32][32] in 0..15, scales [rows][cols/32][1] rounded to f16."""
    blocks = weight.reshape(weight.shape[0], -1, 32)
    extreme = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
    scales = extreme / -8
    inverse = torch.where(scales == 0, torch.zeros_like(scales), 1 / scales)
    return (blocks * inverse + 8.5).floor().clamp(0, 15), scales.half().float()


def rounded(weight):
    codes, scales = quantise(weight)
    return ((codes - 8) * scales).reshape(weight.shape)


def fake_quantised(weights):
    """Straight through: the forward pass sees the rounded weights, the gradient goes to the real ones."""
    return {name: w if w.dim() == 1 else w + (rounded(w.detach()) - w.detach()) for name, w in weights.items()}
