"""Chooses from corpus shards what a short CPU run trains on: well-shaped source files, most of them Python, Rust and TypeScript.

  select_cpu.py --shards DIR --out chosen/chosen.jsonl.xz --characters 60e6

Keeps a file when it looks hand-written: has functions, lines of usual length, mostly words. Shares of languages are SHARES, or what --shares
gives as python=0.6,rust=0.2,… Packages stay together.
"""
import argparse, hashlib, json, lzma, random, re
from pathlib import Path

SHARES = {"python": 0.46, "rust": 0.18, "typescript": 0.13, "javascript": 0.07, "go": 0.06, "c": 0.03, "cpp": 0.03, "java": 0.04}
FUNCTION = re.compile(r"\b(def|fn|func|function|class|impl|return|public|static|void)\b")


def hand_written(text):
    lines = text.split("\n")
    if len(lines) < 12 or len(text) > 120_000 or max(map(len, lines)) > 220:
        return False
    filled = [line for line in lines if line.strip()]
    mean = len(text) / max(len(filled), 1)
    words = sum(c.isalpha() or c in " \n_" for c in text) / len(text)
    numbers = sum(c.isdigit() for c in text) / len(text)
    return 15 < mean < 70 and words > 0.72 and numbers < 0.08 and len(FUNCTION.findall(text)) >= len(filled) / 25


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shards", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--characters", type=float, default=60e6)
    p.add_argument("--per-package", type=float, default=150e3, help="characters of one package at most")
    p.add_argument("--shares", type=lambda text: {k: float(v) for k, v in (pair.split("=") for pair in text.split(","))}, default=SHARES)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    rng, room = random.Random(a.seed), {k: v * a.characters for k, v in a.shares.items()}
    Path(a.out).parent.mkdir(parents=True, exist_ok=True)
    chosen = []
    shards = sorted(Path(a.shards).glob("shard-*.jsonl.xz"))
    for n, shard in enumerate(shards):
        share = {k: v * a.characters * (n + 1) / len(shards) for k, v in a.shares.items()}
        taken = {}
        with lzma.open(shard, "rt", encoding="utf-8") as f:
            for line in f:
                p = json.loads(line)
                files, left = [], a.per_package - taken.get(p["package"], 0)
                rng.shuffle(p["files"])
                for file in p["files"]:
                    lang = file["lang"].lower()
                    size = len(file["text"])
                    used = a.shares.get(lang, 0) * a.characters - room.get(lang, 0)
                    if size > left or used + size > share.get(lang, 0) or not hand_written(file["text"]):
                        continue
                    if re.search(r"(^|/)tests?(/|_|\.)|_test\.|\.test\.", file["path"]) and rng.random() < 0.7:
                        continue
                    files.append(file)
                    left -= size
                    room[lang] -= size
                    taken[p["package"]] = taken.get(p["package"], 0) + size
                if files:
                    chosen.append({**p, "files": files})
    rng.shuffle(chosen)
    with lzma.open(a.out, "wt", encoding="utf-8", preset=1) as f:
        for p in chosen:
            f.write(json.dumps(p) + "\n")
    total = {}
    for p in chosen:
        for file in p["files"]:
            total[file["lang"].lower()] = total.get(file["lang"].lower(), 0) + len(file["text"])
    print(json.dumps({"packages": len(chosen), "characters": total}))


if __name__ == "__main__":
    main()
