"""The export in 4 bits, read back from its own file to be judged: losses, greedy ids, samples."""
import json, struct, zipfile
from pathlib import Path

import numpy as np
import torch

from model import CONFIG, EMBEDDING, forward, quantise, rounded, token_losses
from tokenizer import ASSISTANT, BEGIN, END, USER, Tokenizer

HERE = Path(__file__).parent
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def export(folder):
    checkpoint = torch.load(folder / "model.pt")
    tokenizer, tokenizer_config = Tokenizer(json.loads((folder / "merges.json").read_text())).files(CONFIG["max_position_embeddings"])
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
    weights = {name: w.to(DEVICE) for name, w in weights.items()}
    rows = torch.from_numpy(held[:len(held) // (length + 1) * (length + 1)].reshape(-1, length + 1))
    losses = []
    for ids in rows.to(DEVICE).split(16):
        losses.append(token_losses(forward(weights, ids[:, :-1]), weights[EMBEDDING], ids[:, 1:]).view(len(ids), length))
    by_position = torch.cat(losses).mean(0)
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
        logits = forward(weights, torch.tensor([ids]))[0, -1] @ weights[EMBEDDING].t()
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
    weights, tokenizer = {name: w.to(DEVICE) for name, w in load_export().items()}, load_tokenizer()
    turns = prompt.split("|")
    start = [BEGIN, *tokenizer.encode(prompt)]
    if prompt.endswith("|"):
        start = [BEGIN]
        for index, turn in enumerate(turns[:-1]):
            start += [USER, *tokenizer.encode(turn), ASSISTANT] if index % 2 == 0 else [*tokenizer.encode(turn), END]
    ids = torch.tensor([start] * count, device=DEVICE)
    done = torch.zeros(count, dtype=torch.bool, device=DEVICE)
    for _ in range(limit):
        logits = forward(weights, ids)[:, -1] @ weights[EMBEDDING].t() / temperature
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
