"""The model, Llama with Hugging Face's tensor names, and its 4-bit form."""
import math

import torch
import torch.nn.functional as F

from tokenizer import VOCAB

CONFIG = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=VOCAB, hidden_size=256, intermediate_size=704,
    num_hidden_layers=10, num_attention_heads=8, num_key_value_heads=4, head_dim=32, max_position_embeddings=1024,
    rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None, hidden_act="silu", attention_bias=False, mlp_bias=False,
    tie_word_embeddings=True, torch_dtype="float16",
)
EMBEDDING = "model.embed_tokens.weight"


def layer_shapes():
    hidden, feed = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    q, kv = (CONFIG[f"num_{name}_heads"] * CONFIG["head_dim"] for name in ("attention", "key_value"))
    return {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (q, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, q),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (feed, hidden),
        "mlp.up_proj": (feed, hidden),
        "mlp.down_proj": (hidden, feed),
    }


def layer_names(layer):
    return [f"model.layers.{layer}.{name}.weight" for name in layer_shapes()]


def initial(device="cpu"):
    torch.manual_seed(1)
    weights = {EMBEDDING: torch.randn(CONFIG["vocab_size"], CONFIG["hidden_size"]) * 0.05}
    for layer in range(CONFIG["num_hidden_layers"]):
        for name, shape in zip(layer_names(layer), layer_shapes().values()):
            if len(shape) == 1:
                weights[name] = torch.ones(shape)
            else:
                residual = "o_proj" in name or "down_proj" in name
                weights[name] = torch.randn(shape) * (0.3 if residual else 1.0) / math.sqrt(shape[1])
    weights["model.norm.weight"] = torch.ones(CONFIG["hidden_size"])
    return {name: weight.to(device).requires_grad_() for name, weight in weights.items()}


def norm(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + CONFIG["rms_norm_eps"]) * weight


def rope_tables(length, like):
    """Two tables [position][headDim], of the type and on the device of `like`."""
    half = CONFIG["head_dim"] // 2
    steps = torch.arange(half, dtype=torch.float64, device=like.device) / half
    angles = torch.outer(torch.arange(length, dtype=torch.float64, device=like.device), CONFIG["rope_theta"] ** -steps)
    return angles.cos().repeat(1, 2).to(like), torch.cat((-angles.sin(), angles.sin()), 1).to(like)


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((x[..., half:], x[..., :half]), -1) * sin


def run_layer(x, cos, sin, norm1, q, k, v, o, norm2, gate, up, down):
    """One layer: x [batch][position][hidden], weights in the order of `layer_shapes`."""
    batch, length, _ = x.shape
    head_dim, group = CONFIG["head_dim"], CONFIG["num_attention_heads"] // CONFIG["num_key_value_heads"]
    h = norm(x, norm1)
    q, k, v = (F.linear(h, w).view(batch, length, -1, head_dim).transpose(1, 2) for w in (q, k, v))
    k, v = (t.repeat_interleave(group, 1) for t in (rotate(k, cos, sin), v))
    a = F.scaled_dot_product_attention(rotate(q, cos, sin), k, v.to(k.dtype), is_causal=True)
    x = x + F.linear(a.transpose(1, 2).reshape(batch, length, -1), o)
    h = norm(x, norm2)
    return x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)


def forward(weights, ids, layer_function=run_layer):
    """ids [batch][position] -> hidden states after the last norm [batch][position][hidden]."""
    x = F.embedding(ids, weights[EMBEDDING])
    cos, sin = rope_tables(ids.shape[1], x)
    for layer in range(CONFIG["num_hidden_layers"]):
        x = layer_function(x, cos, sin, *(weights[name] for name in layer_names(layer)))
    return norm(x, weights["model.norm.weight"])


def token_losses(hidden, embedding, targets):
    """hidden [batch][position][hidden], targets [batch][position] -> losses [batch * position]."""
    logits = F.linear(hidden, embedding).float()
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")


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
    matrices = {name: w for name, w in weights.items() if w.dim() == 2}
    # Blocks never span rows, so all matrices can be rounded as one.
    flat = rounded(torch.cat([w.detach().reshape(-1, 32) for w in matrices.values()]))
    parts = flat.split([w.numel() // 32 for w in matrices.values()])
    return {**weights, **{name: w + (part.view_as(w) - w.detach()) for (name, w), part in zip(matrices.items(), parts)}}
