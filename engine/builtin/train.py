"""Trains firstlight's built-in storyteller and exports it in 4 bits. See README.md beside this file.

    train.py prepare DIR            DIR/train*.jsonl, DIR/held.jsonl -> tokenizer, DIR/train.u16, DIR/held.u16
    train.py train DIR MINUTES      -> DIR/model.pt; on a GPU where there is one, else slowly on the CPU
    train.py export DIR             -> storyteller.zip and expected.json beside this file; prints held-out losses
    train.py sample PROMPT [COUNT]  texts from the exported 4-bit weights; a PROMPT that ends with | is a question
"""
import json, multiprocessing, sys, time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from export import export, sample
from model import CONFIG, EMBEDDING, fake_quantised, forward, initial, run_layer, token_losses
from tokenizer import BEGIN, SPECIALS, Tokenizer, train_bpe


def prepare(folder):
    parts = sorted(folder.glob("train*.jsonl"))
    with open(parts[0]) as lines:
        documents = [json.loads(line) for _, line in zip(range(20000), lines)]
    texts = [text for item in documents for text in ([item["text"]] if "text" in item else [t for turn in item["turns"] for t in turn.values()])]
    merges = train_bpe(texts, CONFIG["vocab_size"] - 256 - len(SPECIALS))
    (folder / "merges.json").write_text(json.dumps(merges))
    with multiprocessing.Pool() as pool:
        train = np.concatenate(pool.map(partial(encode, merges), parts))
    held = encode(merges, folder / "held.jsonl")
    train.tofile(folder / "train.u16")
    held.tofile(folder / "held.u16")
    print(len(train), "tokens,", len(held), "held out")


def encode(merges, path):
    tokenizer = Tokenizer(merges)
    with open(path) as lines:
        return np.fromiter((index for line in lines for index in tokenizer.document(json.loads(line))), dtype=np.uint16)


def orthogonal(matrices):
    """Newton-Schulz iteration of Muon (Jordan et al., 2024) on [matrix][row][column]: the nearest with equal singular values."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = (x.transpose(1, 2) if tall else x).bfloat16()
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.transpose(1, 2) if tall else x).float()


QUANTISED_FROM = 0.75  # part of the time after which the weights are rounded and rows are as long as the context


def learning_rate(progress):
    """Short warm-up, flat, then linear down to a fiftieth."""
    return min(progress / 0.01 + 0.02, 1.0, max(0.02, (1 - progress) / 0.6))


def train(folder, minutes):
    """The schedule follows the clock, so that the training ends on time on any machine."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens_per_step = 65536 if device == "cuda" else 4096
    layer, losses_of = run_layer, token_losses
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
        layer, losses_of = torch.compile(run_layer, dynamic=False), torch.compile(token_losses, dynamic=False)
    data = torch.from_numpy(np.fromfile(folder / "train.u16", dtype=np.uint16).astype(np.int16)).to(device)
    starts = (data == BEGIN).nonzero()[:, 0]
    # A row begins with a document, so that every name in it has been introduced.
    starts = starts[starts < len(data) - 1025]

    def loss_at(length, quantised):
        begin = starts[torch.randint(len(starts), (tokens_per_step // length, 1), device=device)]
        ids = data[begin + torch.arange(length + 1, device=device)].long()  # [batch][position]
        seen = fake_quantised(weights) if quantised else weights
        with torch.autocast(device, torch.bfloat16):
            return losses_of(forward(seen, ids[:, :-1], layer), seen[EMBEDDING], ids[:, 1:]).mean()

    weights = initial(device)
    shapes = {}
    for name, w in weights.items():
        if w.dim() == 2 and name != EMBEDDING:
            shapes.setdefault(w.shape, []).append(w)
    groups = [(group, torch.zeros(len(group), *shape, device=device)) for shape, group in shapes.items()]  # with momentum
    others = [w for name, w in weights.items() if w.dim() == 1 or name == EMBEDDING]
    adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)
    # Compiles what both phases need before the clock starts.
    for phase in ((512, False), (1024, True)):
        loss_at(*phase).backward()
    start, step = time.time(), 0
    while (progress := (time.time() - start) / (60 * minutes)) < 1:
        quantised = progress > QUANTISED_FROM
        for w in weights.values():
            w.grad = None
        loss = loss_at(1024 if quantised else 512, quantised)
        loss.backward()
        rate = learning_rate(progress)
        adam.param_groups[0]["lr"] = 3e-3 * rate
        adam.step()
        with torch.no_grad():
            for group, momentum in groups:
                gradients = torch.stack([w.grad for w in group])
                momentum.lerp_(gradients, 0.05)
                updates = orthogonal(gradients.lerp(momentum, 0.95))
                size = 0.015 * rate * max(1, updates.shape[1] / updates.shape[2]) ** 0.5
                for w, update in zip(group, updates):
                    w.mul_(1 - 0.0015 * rate).add_(update, alpha=-size)
        step += 1
        if step % 50 == 0:
            seen = step * tokens_per_step
            # Reading the loss also waits for the GPU, so that the clock is right.
            print(f"step {step} seen {seen / 1e6:.2f}M {progress:.1%} loss {loss.item():.4f} {seen / (time.time() - start):.0f} tokens/s", flush=True)
    state = dict(weights={name: w.detach().cpu() for name, w in weights.items()}, tokens=step * tokens_per_step, seconds=time.time() - start)
    torch.save(state, folder / "model.pt")


if __name__ == "__main__":
    command, argument = sys.argv[1:3]
    if command == "prepare":
        prepare(Path(argument))
    elif command == "train":
        train(Path(argument), float(sys.argv[3]))
    elif command == "export":
        export(Path(argument))
    elif command == "sample":
        sample(argument, int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    else:
        sys.exit(__doc__)
