"""How much a model uses the text after a hole: what the middle costs it with that text, without any, and with another file's.

  suffix.py --tokenizer tokenizer.json --shards chosen --model model.gguf --holes 400

Holes are those of data.py, one a file, in packages held out from training, each alone, under its file's name, the text after it first
(SPM), as Foretype asks. Prints nats a token of the middle, nats of the token that ends it, and in how many holes the greedy choice at the
true end is to end.
"""
import argparse, hashlib, json, random
from pathlib import Path
import torch
import torch.nn.functional as F
import model as M
from data import FILE_SEP, FIM_END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, load_tokenizer, read_shard, windows
from gguf_lite import Gguf


def hole(file, rng):
    """(path, prefix, middle, suffix) of one hole of data.py in a file, or None."""
    found = list(windows(file["text"], rng, 600, 480))
    if found:
        at, begin, end, stop = rng.choice(found)
        return file["path"], file["text"][at:begin], file["text"][begin:end], file["text"][end:stop]


def prompt(tok, path, prefix, suffix):
    """Tokens up to a middle, the text after it first, under the file's name if there is one, as Foretype asks."""
    ids = lambda text: tok.encode(text, add_special_tokens=False).ids
    name = [FILE_SEP] + ids(path + "\n") if path else []
    return name + [FIM_PREFIX, FIM_SUFFIX] + ids(suffix) + [FIM_MIDDLE] + ids(prefix)


def held_out(a):
    """Holes in the packages that training leaves out."""
    rng, out = random.Random(a.seed), []
    for shard in sorted(Path(a.shards).glob("*.jsonl.xz")):
        for p in read_shard(shard):
            if int(hashlib.sha256(p["package"].encode()).hexdigest(), 16) % 1000 < a.val_share * 1000:
                out += [hole(file, rng) for file in p["files"]]
    rng.shuffle(out)
    return [found for found in out if found and found[3].strip()][:a.holes]


@torch.no_grad()
def cost(model, prompt, middle):
    """Nats of the middle's tokens and of the end after it; whether ending is the greedy choice there."""
    ids = torch.tensor([prompt + middle + [FIM_END]])
    logits = F.linear(model(ids)[0, len(prompt) - 1:-1], model.table()).float()
    nats = F.cross_entropy(logits, ids[0, len(prompt):], reduction="none")
    return nats[:-1].sum().item(), nats[-1].item(), logits[-1].argmax().item() == FIM_END


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tokenizer", "shards", "model"):
        p.add_argument("--" + name, required=True)
    for name, default in dict(holes=400, seed=1, val_share=0.01).items():
        p.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    a = p.parse_args()
    gguf = Gguf(a.model)
    model, tok = M.load_gguf(M.Model(M.Config.from_gguf(gguf.meta)), gguf).eval(), load_tokenizer(a.tokenizer)
    chosen = held_out(a)
    other = chosen[-1][3]
    sums = {whose: [0.0, 0.0, 0] for whose in ("its own", "none", "another's")}
    tokens = 0
    for path, prefix, middle, suffix in chosen:
        middle = tok.encode(middle, add_special_tokens=False).ids
        tokens += len(middle)
        for whose, text in zip(sums, (suffix, "", other)):
            for k, value in enumerate(cost(model, prompt(tok, path, prefix, text), middle)):
                sums[whose][k] += value
        other = suffix
    for whose, (text, end, ends) in sums.items():
        print(json.dumps({"text after": whose, "holes": len(chosen), "nats_a_token": round(text / tokens, 4), "nats_of_the_end": round(end / len(chosen), 3), "ends": round(ends / len(chosen), 3)}))


if __name__ == "__main__":
    main()
