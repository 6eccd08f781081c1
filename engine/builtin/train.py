"""Trains firstlight's built-in storyteller on the CPU and exports it in 4 bits. See README.md beside this file.

    train.py prepare DIR            DIR/train.jsonl, DIR/held.jsonl -> tokenizer, DIR/train.u16, DIR/held.u16
    train.py train DIR MINUTES      -> DIR/model.pt, saved every two minutes
    train.py export DIR             -> storyteller.zip and expected.json beside this file; prints held-out losses
    train.py sample PROMPT [COUNT]  texts from the exported 4-bit weights; a PROMPT that ends with | is a question
"""
import json, math, os, re, struct, sys, time, zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F

HERE = Path(__file__).parent
CONFIG = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=2048, hidden_size=192, intermediate_size=512,
    num_hidden_layers=8, num_attention_heads=6, num_key_value_heads=2, head_dim=32, max_position_embeddings=1024,
    rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None, hidden_act="silu", attention_bias=False, mlp_bias=False,
    tie_word_embeddings=True, torch_dtype="float16",
)
SPECIALS = ["<|begin|>", "<|end|>", "<|user|>", "<|assistant|>"]
BEGIN, END, USER, ASSISTANT = (CONFIG["vocab_size"] - len(SPECIALS) + i for i in range(4))
CHAT_TEMPLATE = (
    "{{ bos_token }}{% set system = namespace(text='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set system.text = system.text + message['content'] | trim + '\\n' %}"
    "{% elif message['role'] == 'user' %}"
    "{{ '<|user|>' + system.text + message['content'] | trim }}{% set system.text = '' %}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] | trim + eos_token }}"
    "{% else %}{{ raise_exception('Only system, user and assistant messages are supported') }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

# ---------------------------------------------------------------------------------------------------------------------
# Tokenizer: byte-level BPE

SPLIT = r"'(?:[sdmt]|re|ve|ll)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ASCII_SPLIT = re.compile(SPLIT.replace(r"\p{L}", "A-Za-z").replace("]?A-Za-z+", "]?[A-Za-z]+").replace(r"|\p{N}{", "|[0-9]{").replace(r"\p{N}", "0-9"))


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return {**{byte: chr(byte) for byte in kept}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


ALPHABET = byte_alphabet()


def spell(text):
    return [ALPHABET[byte] for byte in text.encode()]


def train_bpe(texts, merge_count):
    """The classic algorithm over the distinct pieces of the corpus: merge the most frequent pair, again and again."""
    pieces = Counter(piece for text in texts for piece in ASCII_SPLIT.findall(text))
    words = [(spell(piece), count) for piece, count in sorted(pieces.items())]
    pairs, where = Counter(), defaultdict(set)
    for index, (word, count) in enumerate(words):
        for pair in zip(word, word[1:]):
            pairs[pair] += count
            where[pair].add(index)
    merges = []
    while len(merges) < merge_count:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        assert pairs[best] > 0, "the corpus is too small for this vocabulary"
        merges.append(best)
        for index in where.pop(best):
            word, count = words[index]
            for pair in zip(word, word[1:]):
                pairs[pair] -= count
            word[:] = merge(word, best)
            for pair in zip(word, word[1:]):
                pairs[pair] += count
                where[pair].add(index)
        del pairs[best]
    return merges


def merge(word, pair):
    merged, i = [], 0
    while i < len(word):
        step = 2 if tuple(word[i:i + 2]) == pair else 1
        merged.append("".join(word[i:i + step]))
        i += step
    return merged


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(pair) for pair in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.tokens = [ALPHABET[byte] for byte in range(256)] + [a + b for a, b in self.merges]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        self.bytes = {char: byte for byte, char in ALPHABET.items()}
        self.cache = {}

    def encode(self, text):
        return [index for piece in ASCII_SPLIT.findall(text) for index in self.piece(piece)]

    def piece(self, piece):
        if piece not in self.cache:
            word = spell(piece)
            while len(word) > 1:
                pair = min(zip(word, word[1:]), key=lambda pair: self.ranks.get(pair, math.inf))
                if pair not in self.ranks:
                    break
                word = merge(word, pair)
            self.cache[piece] = [self.ids[token] for token in word]
        return self.cache[piece]

    def decode(self, ids):
        text = b""
        for index in ids:
            text += SPECIALS[index - BEGIN].encode() if index >= BEGIN else bytes(self.bytes[c] for c in self.tokens[index])
        return text.decode(errors="replace")

    def document(self, document):
        if "text" in document:
            return [BEGIN, *self.encode(document["text"]), END]
        ids = [BEGIN]
        for turn in document["turns"]:
            ids += [USER, *self.encode(turn["user"]), ASSISTANT, *self.encode(turn["assistant"]), END]
        return ids

    def files(self):
        """tokenizer.json and tokenizer_config.json as Hugging Face reads them."""
        special = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
        begin = {"SpecialToken": {"id": SPECIALS[0], "type_id": 0}}
        first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
        level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
        tokenizer = dict(
            version="1.0", truncation=None, padding=None,
            added_tokens=[dict(id=BEGIN + i, content=text, **special) for i, text in enumerate(SPECIALS)],
            normalizer=None,
            pre_tokenizer=dict(type="Sequence", pretokenizers=[
                dict(type="Split", pattern={"Regex": SPLIT}, behavior="Isolated", invert=False), level]),
            post_processor=dict(
                type="TemplateProcessing", single=[begin, first],
                pair=[begin, first, {"SpecialToken": {"id": SPECIALS[0], "type_id": 1}}, second],
                special_tokens={SPECIALS[0]: dict(id=SPECIALS[0], ids=[BEGIN], tokens=[SPECIALS[0]])}),
            decoder=level,
            model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                       fuse_unk=False, byte_fallback=False, ignore_merges=False,
                       vocab=self.ids, merges=[f"{a} {b}" for a, b in self.merges]))
        config = dict(
            tokenizer_class="PreTrainedTokenizerFast", bos_token=SPECIALS[0], eos_token=SPECIALS[1], add_bos_token=True,
            add_eos_token=False, clean_up_tokenization_spaces=False, model_max_length=CONFIG["max_position_embeddings"],
            chat_template=CHAT_TEMPLATE)
        return tokenizer, config


def prepare(folder):
    documents = {name: [json.loads(line) for line in open(folder / f"{name}.jsonl")] for name in ("train", "held")}

    def texts(document):
        return [document["text"]] if "text" in document else [text for turn in document["turns"] for text in turn.values()]

    sample = [text for document in documents["train"][:20000] for text in texts(document)]
    tokenizer = Tokenizer(train_bpe(sample, CONFIG["vocab_size"] - 256 - len(SPECIALS)))
    (folder / "merges.json").write_text(json.dumps(tokenizer.merges))
    for name, items in documents.items():
        ids = np.fromiter((index for item in items for index in tokenizer.document(item)), dtype=np.uint16)
        ids.tofile(folder / f"{name}.u16")
        print(name, len(items), "documents", len(ids), "tokens", len(tokenizer.cache), "distinct pieces")


# ---------------------------------------------------------------------------------------------------------------------
# Model: Llama, with Hugging Face's tensor names

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


def forward(weights, ids):
    """ids [batch][position] -> hidden states after the last norm [batch][position][hidden]."""
    batch, length = ids.shape
    heads, kv_heads, head_dim = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"], CONFIG["head_dim"]
    x = F.embedding(ids, weights["model.embed_tokens.weight"])
    cos, sin = rope_tables(length, x.dtype)
    mask = torch.full((length, length), -math.inf, dtype=x.dtype).triu(1).repeat(heads // kv_heads, 1)
    for layer in range(CONFIG["num_hidden_layers"]):
        w = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
        h = Norm.apply(x, w("input_layernorm"))
        qkv = F.linear(h, torch.cat((w("self_attn.q_proj"), w("self_attn.k_proj"), w("self_attn.v_proj"))))
        qkv = qkv.view(batch, length, heads + 2 * kv_heads, head_dim).transpose(1, 2)
        turned = rotate(qkv[:, :heads + kv_heads], cos, sin)
        # Query heads that share a key/value head lie below each other: [batch * kvHeads][heads/kvHeads * position][headDim]
        q = turned[:, :heads].reshape(batch * kv_heads, -1, head_dim) * head_dim ** -0.5
        k = turned[:, heads:].reshape(batch * kv_heads, length, head_dim)
        v = qkv[:, heads + kv_heads:].reshape(batch * kv_heads, length, head_dim)
        scores = torch.baddbmm(mask, q, k.transpose(1, 2))
        a = torch.bmm(scores.softmax(-1), v).view(batch, heads, length, head_dim)
        x = x + F.linear(a.transpose(1, 2).reshape(batch, length, -1), w("self_attn.o_proj"))
        h = Norm.apply(x, w("post_attention_layernorm"))
        x = x + F.linear(F.silu(F.linear(h, w("mlp.gate_proj"))) * F.linear(h, w("mlp.up_proj")), w("mlp.down_proj"))
    return Norm.apply(x, weights["model.norm.weight"])


def loss_of(weights, ids):
    hidden = forward(weights, ids[:, :-1])
    logits = F.linear(hidden, weights["model.embed_tokens.weight"])
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


# ---------------------------------------------------------------------------------------------------------------------
# 4 bits: blocks of 32 along the input, weight = scale * (code - 8), GGUF's Q4_0

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


# ---------------------------------------------------------------------------------------------------------------------
# Training: Muon for the matrices of the layers, Adam for embedding and norms

def orthogonal(matrix):
    """Newton-Schulz iteration of Muon (Jordan et al., 2024): the nearest matrix with equal singular values."""
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    for _ in range(5):
        square = x @ x.t()
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.t() if tall else x


TOKENS_PER_STEP = 2048
CORES = 2


def learning_rate(progress):
    """Short warm-up, flat, then linear down to a twentieth."""
    return min(progress / 0.01 + 0.02, 1.0, max(0.05, (1 - progress) / 0.6))


def train(rank, ranks, folder, minutes):
    """
    One process per core, each with its part of the batch: on a machine that others use too, threads inside one process
    would wait for each other at every operation. The schedule follows the clock, so that the training ends on time.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder.absolute()}/rendezvous", rank=rank, world_size=ranks)
    data = np.memmap(folder / "train.u16", dtype=np.uint16, mode="r")
    weights = initial()
    muon = [name for name, w in weights.items() if w.dim() == 2 and "embed" not in name]
    adam = torch.optim.AdamW([
        dict(params=[weights["model.embed_tokens.weight"]], lr=3e-3),
        dict(params=[w for w in weights.values() if w.dim() == 1], lr=3e-3)], betas=(0.9, 0.98), weight_decay=0.0)
    momentum = {name: torch.zeros_like(weights[name]) for name in muon}
    start = saved = time.time()
    at, step, average = 0, 0, None
    while True:
        # Rank 0's clock counts for all.
        progress = torch.tensor([(time.time() - start) / (60 * minutes)])
        torch.distributed.broadcast(progress, 0)
        progress = progress.item()
        if progress >= 1:
            break
        # Long texts come late, when they teach the most: [batch][position]
        length = 256 if progress < 0.7 else 512 if progress < 0.92 else 1024
        batch = TOKENS_PER_STEP // ranks // length
        if at + TOKENS_PER_STEP + 1 > len(data):
            at = 0
        first = at + rank * batch * length
        window = np.stack([data[first + row * length:first + (row + 1) * length + 1] for row in range(batch)])
        at += TOKENS_PER_STEP
        ids = torch.from_numpy(window.astype(np.int64))
        loss = loss_of(fake_quantised(weights) if progress > 0.8 else weights, ids)
        loss.backward()
        average_over_ranks([w.grad for w in weights.values()], ranks)
        rate = learning_rate(progress)
        for group in adam.param_groups:
            group["lr"] = 3e-3 * rate
        adam.step()
        with torch.no_grad():
            updates = {name: torch.zeros_like(weights[name]) for name in muon}
            for index, name in enumerate(muon):
                momentum[name].lerp_(weights[name].grad, 0.05)
                if index % ranks == rank:  # the costly part is shared out
                    updates[name] = orthogonal(torch.lerp(weights[name].grad, momentum[name], 0.95)) * ranks
            average_over_ranks(list(updates.values()), ranks)
            for name, update in updates.items():
                w = weights[name]
                w.mul_(1 - 0.002 * rate).add_(update, alpha=-0.02 * rate * max(1, w.shape[0] / w.shape[1]) ** 0.5)
        for w in weights.values():
            w.grad = None
        step += 1
        average = loss.item() if average is None else average * 0.98 + loss.item() * 0.02
        if rank == 0 and step % 50 == 0:
            seen = step * TOKENS_PER_STEP
            print(f"step {step} seen {seen / 1e6:.2f}M {progress:.1%} loss {average:.4f} {seen / (time.time() - start):.0f} tokens/s", flush=True)
        if rank == 0 and time.time() - saved > 120:
            saved = time.time()
            save(folder, weights, step, saved - start)
    if rank == 0:
        save(folder, weights, step, time.time() - start)


def average_over_ranks(tensors, ranks):
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, part in zip(tensors, (flat / ranks).split([tensor.numel() for tensor in tensors])):
        tensor.copy_(part.view_as(tensor))


def save(folder, weights, step, seconds):
    torch.save(dict(weights=weights, tokens=step * TOKENS_PER_STEP, seconds=seconds), folder / "model.new")
    os.replace(folder / "model.new", folder / "model.pt")


# ---------------------------------------------------------------------------------------------------------------------
# Export, and what can be said of it

def export(folder):
    checkpoint = torch.load(folder / "model.pt")
    tokenizer, tokenizer_config = Tokenizer(json.loads((folder / "merges.json").read_text())).files()
    generation = dict(bos_token_id=BEGIN, eos_token_id=END, do_sample=True, temperature=0.8, top_k=40)
    config = dict(CONFIG, bos_token_id=BEGIN, eos_token_id=END)
    entries = {
        "config.json": config, "generation_config.json": generation, "tokenizer.json": tokenizer, "tokenizer_config.json": tokenizer_config,
    }
    with zipfile.ZipFile(HERE / "storyteller.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries.items():
            text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED, 9)
        archive.writestr(zipfile.ZipInfo("model.safetensors"), safetensors(checkpoint["weights"]), zipfile.ZIP_DEFLATED, 9)
    weights = load_export()
    assert all(torch.equal(weights[name], w if w.dim() == 1 else rounded(w)) for name, w in checkpoint["weights"].items())
    (HERE / "expected.json").write_text(json.dumps(expected(weights), indent=2, ensure_ascii=False) + "\n")
    seconds = checkpoint["seconds"]
    print(f"{checkpoint['tokens'] / 1e6:.2f}M tokens in {seconds / 60:.1f} minutes, {(HERE / 'storyteller.zip').stat().st_size} bytes")
    held = np.fromfile(folder / "held.u16", dtype=np.uint16).astype(np.int64)
    for label, w in (("float", checkpoint["weights"]), ("4-bit", weights)):
        print(label, "held-out loss", evaluate(w, held))


@torch.no_grad()
def evaluate(weights, held, length=1024):
    """Mean loss per token over windows of the whole context, in parts by position: degradation would show at the end."""
    rows = len(held) // (length + 1)
    losses = []
    for row in held[:rows * (length + 1)].reshape(rows, -1):
        ids = torch.from_numpy(row)[None]
        logits = forward(weights, ids[:, :-1]) @ weights["model.embed_tokens.weight"].t()
        losses.append(F.cross_entropy(logits[0], ids[0, 1:], reduction="none"))
    by_position = torch.stack(losses).mean(0)
    parts = {f"{a}-{b}": round(by_position[a:b].mean().item(), 4) for a, b in ((0, 256), (256, 512), (512, 768), (768, 1024))}
    return dict(all=round(by_position.mean().item(), 4), **parts)


def safetensors(weights):
    tensors = {}
    for name, weight in weights.items():
        if weight.dim() == 1:
            tensors[name] = ("F32", weight.detach().numpy())
            continue
        codes, scales = quantise(weight.detach())
        codes = codes.numpy().astype(np.uint8)
        packed = codes[..., :16] | codes[..., 16:] << 4  # byte i: weight i low, weight i + 16 high
        tensors[name + ".codes"] = ("U8", packed.reshape(len(codes), -1))
        tensors[name + ".scales"] = ("F16", scales.numpy().astype(np.float16)[..., 0])
    header, data = {"__metadata__": {"format": "firstlight-q4"}}, b""
    for name, (dtype, values) in sorted(tensors.items(), key=lambda item: (-item[1][1].itemsize, item[0])):
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = dict(dtype=dtype, shape=list(values.shape), data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def load_export():
    """The exported file's weights, dequantised."""
    blob = zipfile.ZipFile(HERE / "storyteller.zip").read("model.safetensors")
    size = struct.unpack("<Q", blob[:8])[0]
    types = {"F32": np.float32, "F16": np.float16, "U8": np.uint8}
    header = json.loads(blob[8:8 + size])
    del header["__metadata__"]
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(blob[begin:end], dtype=types[entry["dtype"]]).reshape(entry["shape"])
    weights = {name: torch.from_numpy(values.copy()) for name, values in tensors.items() if values.dtype == np.float32}
    for name, codes in tensors.items():
        if name.endswith(".codes"):
            blocks = codes.reshape(len(codes), -1, 16)
            values = np.concatenate((blocks & 15, blocks >> 4), -1).astype(np.float32) - 8
            scales = tensors[name.replace(".codes", ".scales")].astype(np.float32)[..., None]
            weights[name.removesuffix(".codes")] = torch.from_numpy((values * scales).reshape(len(codes), -1))
    return weights


def load_tokenizer():
    model = json.loads(zipfile.ZipFile(HERE / "storyteller.zip").read("tokenizer.json"))["model"]
    return Tokenizer(pair.split(" ") for pair in model["merges"])


@torch.no_grad()
def expected(weights, prompt="Once upon a time", steps=64):
    """Greedy ids from a float64 forward pass over the exported weights, with what is needed to judge a close call."""
    tokenizer = load_tokenizer()
    weights = {name: w.double() for name, w in weights.items()}
    prompt_ids = [BEGIN, *tokenizer.encode(prompt)]
    ids, gaps, top = list(prompt_ids), [], None
    for _ in range(steps):
        logits = forward(weights, torch.tensor([ids]))[0, -1] @ weights["model.embed_tokens.weight"].t()
        best = logits.topk(5)
        top = top or [dict(id=i, logit=round(x, 6)) for i, x in zip(best.indices.tolist(), best.values.tolist())]
        gaps.append(round((best.values[0] - best.values[1]).item(), 6))
        ids.append(best.indices[0].item())
    greedy = ids[len(prompt_ids):]
    return dict(prompt=prompt, prompt_ids=prompt_ids, greedy_ids=greedy, greedy_text=tokenizer.decode(greedy), gaps=gaps, min_gap=min(gaps), top5=top)


@torch.no_grad()
def sample(prompt, count, limit=400, temperature=0.8, top_k=40):
    """`prompt` is a story's beginning, or a conversation whose turns are separated by `|`, the user's first."""
    torch.manual_seed(7)
    weights, tokenizer = load_export(), load_tokenizer()
    turns = prompt.split("|")
    start = [BEGIN, *tokenizer.encode(prompt)]
    if prompt.endswith("|"):
        start = [BEGIN]
        for index, turn in enumerate(turns[:-1]):
            start += [USER, *tokenizer.encode(turn), ASSISTANT] if index % 2 == 0 else [*tokenizer.encode(turn), END]
    ids = torch.tensor([start] * count)
    done = torch.zeros(count, dtype=torch.bool)
    for _ in range(limit):
        logits = forward(weights, ids)[:, -1] @ weights["model.embed_tokens.weight"].t() / temperature
        best = logits.topk(top_k)
        picked = best.indices.gather(1, torch.multinomial(best.values.softmax(-1), 1))
        ids = torch.cat((ids, torch.where(done[:, None], torch.full_like(picked, END), picked)), 1)
        done |= ids[:, -1] == END
        if done.all():
            break
    for row, ended in zip(ids.tolist(), done.tolist()):
        text = row[len(start):]
        shown = prompt + tokenizer.decode(text[:text.index(END)] if ended else text)
        print(shown + ("" if ended else " [no end]"), end="\n" + "-" * 40 + "\n")


if __name__ == "__main__":
    command, argument = sys.argv[1:3]
    if command == "prepare":
        prepare(Path(argument))
    elif command == "train":
        (Path(argument) / "rendezvous").unlink(missing_ok=True)
        torch.multiprocessing.spawn(train, (CORES, Path(argument), float(sys.argv[3])), CORES)
    elif command == "export":
        export(Path(argument))
    elif command == "sample":
        sample(argument, int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    else:
        sys.exit(__doc__)
