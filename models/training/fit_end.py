"""Fits the row of <fim_end> alone, all other weights as they are: when to end, as a logistic regression.

  fit_end.py --tokenizer tokenizer.json --shards chosen --model model.gguf --out end.pt

The probability of the end is sigmoid(h . e - log of the sum of what else could come), h the last hidden state. h and that sum depend on
the other weights alone, so the row e is found by a convex fit over holes of data.py, each alone and under its file's name, the text after
it first. A fifth of what is chosen is checked on: it prints nats of true ends and of all places before and after the fit. The row is rounded
to Q5_0 as export.py rounds it. A few minutes on a CPU; without the variables for malloc that README.md sets for training, which keep 20 GB here.
"""
import argparse, json, random
from pathlib import Path
import torch
import torch.nn.functional as F
import model as M
from data import FIM_END, FIM_PAD, load_tokenizer, read_shard
from gguf_lite import Gguf
from suffix import hole, prompt
from train_cpu import rounded


def samples(a, tok):
    """(prompt, middle) of one hole a file."""
    rng, out = random.Random(a.seed), []
    for shard in sorted(Path(a.shards).glob("*.jsonl.xz")):
        files = [file for p in read_shard(shard) for file in p["files"]]
        for found in (hole(file, rng) for file in rng.sample(files, min(a.holes, len(files)))):
            if found:
                path, prefix, middle, suffix = found
                path = path if rng.random() > a.nameless else None
                out.append((prompt(tok, path, prefix, suffix), tok.encode(middle, add_special_tokens=False).ids))
    return [(before, middle) for before, middle in out if middle and len(before) + len(middle) < 640]


@torch.no_grad()
def features(model, chosen, batch):
    """Of each place in a middle and of its end: the hidden state, log of the sum of what else could come, whether it is the end."""
    rows, rest, ends, w = [], [], [], model.table().detach()
    order = sorted(range(len(chosen)), key=lambda k: len(chosen[k][0]) + len(chosen[k][1]))
    for i in range(0, len(order), batch):
        part = [chosen[k] for k in order[i:i + batch]]
        long = max(len(p) + len(m) for p, m in part)
        ids = torch.tensor([p + m + [FIM_PAD] * (long - len(p) - len(m)) for p, m in part])
        with torch.autocast("cpu", torch.bfloat16):
            h = model(ids)
        for (p, m), states in zip(part, h):
            states = states[len(p) - 1:len(p) + len(m)].float()
            logits = (states.bfloat16() @ w.bfloat16().T).float()
            logits[:, FIM_END] = float("-inf")
            rows.append(states)
            rest.append(logits.logsumexp(-1))
            ends.append(torch.arange(len(states)) == len(states) - 1)
    return torch.cat(rows).double(), torch.cat(rest).double(), torch.cat(ends).double()


def loss(e, rows, rest, ends):
    return F.binary_cross_entropy_with_logits(rows @ e - rest, ends, reduction="none")


def fit(begun, keep, learnt):
    e = begun.clone().requires_grad_()
    opt = torch.optim.LBFGS([e], max_iter=200, line_search_fn="strong_wolfe")

    def step():
        opt.zero_grad()
        value = loss(e, *learnt).sum() + keep * (e - begun).square().sum()
        value.backward()
        return value

    opt.step(step)
    return e.detach()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tokenizer", "shards", "model", "out"):
        p.add_argument("--" + name, required=True)
    for name, default in dict(holes=3000, seed=1, batch=16, nameless=0.1).items():
        p.add_argument("--" + name, type=type(default), default=default)
    p.add_argument("--keep", type=lambda text: [float(k) for k in text.split(",")], default=[3.0, 10.0, 30.0, 100.0, 300.0])
    a = p.parse_args()
    gguf = Gguf(a.model)
    model = M.load_gguf(M.Model(M.Config.from_gguf(gguf.meta)), gguf).eval()
    chosen = samples(a, load_tokenizer(a.tokenizer))
    random.Random(a.seed).shuffle(chosen)
    some = len(chosen) * 4 // 5
    learnt, other = features(model, chosen[:some], a.batch), features(model, chosen[some:], a.batch)
    begun = model.token_embd.weight[FIM_END].detach().double()
    values = {"before": begun} | {f"keep {keep:g}": fit(begun, keep, learnt) for keep in a.keep}
    best = min(values, key=lambda name: loss(values[name], *other).sum())
    row = rounded(values[best].float()[None], 5)[0]
    for name, e in (values | {f"{best}, rounded": row.double()}).items():
        for part, (rows, rest, ends) in (("fitted on", learnt), ("others", other)):
            each, first = loss(e, rows, rest, ends), rows @ e > rest
            ends = ends > 0
            print(json.dumps({"row": name, "holes": part, "ends": int(ends.sum()), "nats_of_an_end": round(each[ends].mean().item(), 3),
                              "nats_a_middle": round((each.sum() / ends.sum()).item(), 3), "ends_there": round(first[ends].double().mean().item(), 3),
                              "ends_elsewhere": round(first[~ends].double().mean().item(), 4)}), flush=True)
    weights = {n: torch.from_numpy(gguf.tensor(n)) for n in gguf.info}
    weights["token_embd.weight"][FIM_END] = row
    torch.save(weights, a.out)


if __name__ == "__main__":
    main()
