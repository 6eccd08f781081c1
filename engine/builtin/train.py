"""Trains firstlight's built-in storyteller on the CPU and exports it in 4 bits. See README.md beside this file.

    train.py prepare DIR            DIR/train.jsonl, DIR/held.jsonl -> tokenizer, DIR/train.u16, DIR/held.u16
    train.py train DIR MINUTES      -> DIR/model.pt, saved every two minutes; continues from one that is there
    train.py export DIR             -> storyteller.zip and expected.json beside this file; prints held-out losses
    train.py sample PROMPT [COUNT]  texts from the exported 4-bit weights; a PROMPT that ends with | is a question
"""
import json, os, sys, time
from pathlib import Path

import numpy as np
import torch
import torch.distributed
import torch.multiprocessing

from export import export, sample
from model import Bf16Matmul, CONFIG, fake_quantised, initial, loss_of
from tokenizer import ASSISTANT, BEGIN, END, SPECIALS, Tokenizer, train_bpe


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


def orthogonal(matrix):
    """Newton-Schulz iteration of Muon (Jordan et al., 2024): the nearest matrix with equal singular values."""
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = (x.t() if tall else x).bfloat16()
    for _ in range(5):
        square = x @ x.t()
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.t() if tall else x).float()


TOKENS_PER_STEP = 2048
CORES = 2
PRONOUNS = "he she his her him himself herself He She His Her"


def learning_rate(progress):
    """Short warm-up, flat, then linear down to a twentieth."""
    return min(progress / 0.01 + 0.02, 1.0, max(0.05, (1 - progress) / 0.6))


def next_row(data, starts, at, length):
    """A row begins with a document, so that every name in it has been introduced. Moves at[0] to the row's end."""
    begin = starts[np.searchsorted(starts, at[0])]
    if begin + length + 1 > len(data):
        begin = 0
    at[0] = begin + length + 1
    return data[begin:at[0]].astype(np.int64)


def weigh(row, rare, pronouns, weight):
    """
    Weights of the losses along a row. What has to be looked up in the text counts more, since it was learnt late without:
    names, animals, things and numbers that come again in a document, pronouns, and short answers.
    """
    weights, seen = np.ones(len(row), dtype=np.float32), set()
    for i, index in enumerate(row.tolist()):
        if index == BEGIN:
            seen.clear()
        elif index in seen or index in pronouns:
            weights[i] = weight
        elif index == END and ASSISTANT in row[max(0, i - 40):i]:
            answer = i - 1 - row[:i][::-1].tolist().index(ASSISTANT)
            weights[answer + 1:i + 1] = weight
        if rare[index]:
            seen.add(index)
    return weights[1:]


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
    starts = np.flatnonzero(data == BEGIN)
    rare = np.bincount(data, minlength=CONFIG["vocab_size"]) < 0.003 * len(data)
    tokenizer = Tokenizer(json.loads((folder / "merges.json").read_text()))
    pronouns = {index for word in PRONOUNS.split() for index in tokenizer.encode(" " + word)}
    step, average = 0, None
    if (folder / "model.pt").exists():
        checkpoint = torch.load(folder / "model.pt")
        for name, w in checkpoint["weights"].items():
            weights[name].data.copy_(w)
        adam.load_state_dict(checkpoint["adam"])
        momentum = checkpoint["momentum"]
        start -= checkpoint["seconds"]
        step = checkpoint["tokens"] // TOKENS_PER_STEP
    # Each rank reads its own part of the corpus.
    at = [(rank * len(data) + step * TOKENS_PER_STEP) // ranks]
    while True:
        # Rank 0's clock counts for all.
        progress = torch.tensor([(time.time() - start) / (60 * minutes)])
        torch.distributed.broadcast(progress, 0)
        progress = progress.item()
        if progress >= 1:
            break
        # Short texts first; whole contexts come in between towards the end.
        length = 1024 if progress > 0.85 and step % 2 else 256
        rows = [next_row(data, starts, at, length) for _ in range(TOKENS_PER_STEP // ranks // length)]
        ids = torch.from_numpy(np.stack(rows))  # [batch][position]
        emphasis = torch.from_numpy(np.stack([weigh(row, rare, pronouns, 4 if progress < 0.93 else 1) for row in rows]))
        loss = loss_of(fake_quantised(weights) if progress > 0.8 else weights, ids, emphasis, Bf16Matmul.apply)
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
                w.mul_(1 - 0.0012 * rate).add_(update, alpha=-0.012 * rate * max(1, w.shape[0] / w.shape[1]) ** 0.5)
        for w in weights.values():
            w.grad = None
        step += 1
        average = loss.item() if average is None else average * 0.98 + loss.item() * 0.02
        if rank == 0 and step % 50 == 0:
            seen = step * TOKENS_PER_STEP
            print(f"step {step} seen {seen / 1e6:.2f}M {progress:.1%} loss {average:.4f} {seen / (time.time() - start):.0f} tokens/s", flush=True)
        if rank == 0 and time.time() - saved > 120:
            saved = time.time()
            save(folder, weights, adam, momentum, step, saved - start)
    if rank == 0:
        save(folder, weights, adam, momentum, step, time.time() - start)


def average_over_ranks(tensors, ranks):
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, part in zip(tensors, (flat / ranks).split([tensor.numel() for tensor in tensors])):
        tensor.copy_(part.view_as(tensor))


def save(folder, weights, adam, momentum, step, seconds):
    state = dict(weights=weights, adam=adam.state_dict(), momentum=momentum, tokens=step * TOKENS_PER_STEP, seconds=seconds)
    torch.save(state, folder / "model.new")
    os.replace(folder / "model.new", folder / "model.pt")


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
