#!/usr/bin/env python3
"""Ask `foretype complete --jsonl` to fill holes in this repository's own source.

Usage: benches/holes.py [--count 200] [--folder src] [--ext .rs] [-- FORETYPE ARGUMENTS...]

A hole is the rest of a line, from a place chosen by a seeded generator; every request is told the text after it.
Prints one object: how long answers took (p50, p95), how often there was one, how often it began rightly and how
often it was the line exactly. Holes are the same in every run, so two builds or two models can be compared.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def holes(folder, extension, count):
    """The holes: path, prefix, middle, suffix. Blank lines and comments are left out."""
    generator = random.Random(20)
    places = []
    for path in sorted((ROOT / folder).rglob("*" + extension)):
        lines = path.read_text().splitlines(keepends=True)
        for number, line in enumerate(lines):
            code = line.strip()
            if len(code) < 8 or code.startswith(("//", "#", "*")):
                continue
            indent = len(line) - len(line.lstrip())
            column = generator.randrange(indent, len(line.rstrip()) - 2)
            before, after = "".join(lines[:number]), "".join(lines[number + 1 :])
            places.append((path, before + line[:column], line[column:].rstrip("\n"), "\n" + after))
    return generator.sample(places, min(count, len(places)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--folder", default="src")
    parser.add_argument("--ext", default=".rs")
    parser.add_argument("--show", type=int, default=0, help="print this many holes with their answers")
    parser.add_argument("--binary", default=str(ROOT / "target/release/foretype"))
    parser.add_argument("arguments", nargs="*", help="passed to foretype")
    options = parser.parse_args()
    chosen = holes(options.folder, options.ext, options.count)
    requests = "".join(
        json.dumps({"id": number, "path": str(path), "prefix": prefix, "suffix": suffix}) + "\n"
        for number, (path, prefix, _, suffix) in enumerate(chosen)
    )
    done = subprocess.run(
        [options.binary, *options.arguments, "complete", "--jsonl"],
        input=requests,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    times = sorted(answer["total_ms"] for answer in answers)
    shown = began = exact = 0
    for number, (answer, (path, prefix, middle, _)) in enumerate(zip(answers, chosen, strict=True)):
        text, middle = answer["text"].split("\n")[0].strip(), middle.strip()
        shown += bool(answer["text"])
        began += bool(text) and middle[:4] == text[:4]
        exact += text == middle
        if number < options.show:
            line = prefix.split("\n")[-1]
            print(f"{path.name}: {line}⟨{answer['text']}⟩ was ⟨{middle}⟩ raw {answer['raw_text']!r}"
                  f" {answer.get('dropped_by') or ''} {answer['mean_logprob']:.2f}", file=sys.stderr)
    print(json.dumps({
        "holes": len(answers),
        "p50_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[int(len(times) * 0.95)], 1),
        "answered": shown / len(answers),
        "began_rightly": began / len(answers),
        "exact": exact / len(answers),
    }))


if __name__ == "__main__":
    main()
