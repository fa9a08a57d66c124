"""Corpus shards -> packed training sequences with fill-in-the-middle holes.

  data.py tokenizer --base base.gguf --out tokenizer.json
  data.py prepare --tokenizer tokenizer.json --shards DIR --out DIR --epochs 3 --workers 16

A shard is NAME.jsonl.xz with lines {"package", "files": [{"path", "lang", "text"}]}. `prepare` writes, per epoch
(each with fresh holes), OUT/train-eN.tok (uint16) and .cls (uint8) of shape (sequences, seq), val.tok/.cls from
held-out packages, and meta.json. A class is language * 4 + kind; it says how a token counts in the loss.
"""
import argparse, bisect, hashlib, itertools, json, lzma, math, os, random, re, time
from multiprocessing import Pool
from pathlib import Path
import numpy as np

NO_LOSS, PLAIN, MIDDLE, ANSWER = range(4)  # kinds
LANGS = ["other", "python", "javascript", "typescript", "c", "cpp", "rust", "go", "java", "html", "css", "json", "yaml",
         "toml", "shell", "markdown", "ruby", "php", "sql", "lua", "csharp", "kotlin", "swift", "makefile", "cmake"]
RENAMED = {"<jupyter_start>": "<fim_prefix>", "<jupyter_text>": "<fim_suffix>", "<jupyter_code>": "<fim_middle>",
           "<jupyter_output>": "<fim_end>", "<empty_output>": "<fim_pad>"}
END_OF_TEXT, IM_START, IM_END, REPO_NAME, FILE_SEP, FILENAME = 0, 1, 2, 3, 5, 6
FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, FIM_END, FIM_PAD = 11, 12, 13, 14, 16
SPECIALS = 17
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


# ---- tokenizer ---------------------------------------------------------------------------------------------------

def rename(tokens):
    return [RENAMED.get(t, t) for t in tokens[:SPECIALS]] + tokens[SPECIALS:]


def build_tokenizer(meta, out):
    """SmolLM's byte-level BPE: every digit stands alone, then GPT-2's pattern."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    tokens = rename(meta["tokenizer.ggml.tokens"])
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in tokens[:SPECIALS]])
    tok.save(str(out))


def load_tokenizer(path):
    from tokenizers import Tokenizer
    tok = Tokenizer.from_file(str(path))
    tok.encode_special_tokens = True  # "<|im_end|>" in a source text is text, not a marker
    return tok


# ---- holes -------------------------------------------------------------------------------------------------------

def choose_middle(text, starts, at, rng, limit=1500):
    """A hole (begin, end) near character `at`; `starts` are the offsets of the lines."""
    line = bisect.bisect_right(starts, at) - 1
    end_of = lambda k: starts[k + 1] if k + 1 < len(starts) else len(text)
    body = lambda k: text[starts[k]:end_of(k)]
    for line in range(line, min(line + 20, len(starts))):  # the next line that is not blank
        if body(line).strip():
            break
    first, stripped = starts[line], body(line)
    indent, stop = len(stripped) - len(stripped.lstrip()), first + len(stripped.rstrip())
    kind = rng.random()
    if kind < 0.30 and stop > first + indent:  # the rest of a line: from its code's start, from column 0, or from any column
        where = rng.random()
        begin = first + indent if where < 0.2 else first if where < 0.35 else rng.randrange(first + indent, stop)
        return begin, stop
    if 0.30 <= kind < 0.42:  # the indented block or bracketed body under a line that opens one
        for k in range(line, min(line + 40, len(starts) - 1)):
            head = body(k)
            if not head.rstrip().endswith((":", "{", "(", "[")):
                continue
            depth, last = len(head) - len(head.lstrip()), k
            for j in range(k + 1, min(k + 60, len(starts))):
                if body(j).strip():
                    if len(body(j)) - len(body(j).lstrip()) <= depth:
                        break
                    last = j
            begin, end = starts[k] + len(head.rstrip()), starts[last] + len(body(last).rstrip())
            if last > k and end - begin <= limit:
                inside = len(text[begin:end]) - len(text[begin:end].lstrip())
                return (begin + inside if rng.random() < 0.5 else begin), end
    if kind < 0.70:  # whole lines, with or without the first one's indentation: only the text after them says how many
        last = min(line + int(rng.expovariate(0.6)), len(starts) - 1)
        end = starts[last] + len(body(last).rstrip())
        if end - first <= limit:
            if rng.random() < 0.3:  # with its line break, as HumanEval-Infilling cuts
                return first, end_of(last)
            return (first + indent if rng.random() < 0.5 else first), max(end, first + indent)
    if kind < 0.78:
        node = inside_brackets(text, at, limit)
        if node:
            return node
    return at, min(len(text), at + int(math.exp(rng.uniform(0, math.log(400)))))  # a random span: it must meet the text after it in mid-token


def inside_brackets(text, at, limit):
    """What stands between a bracket at or behind `at` and its partner: arguments, elements, a condition, a body; or None."""
    stack, begin = [], None
    for k in range(at, min(len(text), at + limit)):
        if text[k] in "([{":
            stack.append(")]}"["([{".index(text[k])])
            begin = k + 1 if begin is None else begin
        elif stack and text[k] == stack[-1]:
            stack.pop()
            if not stack:
                return (begin, k) if text[begin:k].strip() else None
        elif stack and text[k] in ")]}":
            return None  # in a string or a comment
    return None


def windows(text, rng, prefix_chars, suffix_chars):
    """Cuts a file to windows that do not overlap, each (begin, hole begin, hole end, end)."""
    starts, pos = [0] + [m.end() for m in re.finditer("\n", text)][:-1], 0
    size = lambda most: int(math.exp(rng.uniform(math.log(most / 16), math.log(most))))
    while pos < len(text):
        before, after = size(prefix_chars), size(suffix_chars)
        at = pos + before if pos + before < len(text) else rng.randrange(pos, len(text))
        begin, end = choose_middle(text, starts, at, rng)
        stop = min(len(text), end + after)
        if len(text) - stop < 200:
            stop = len(text)
        if text[begin:end].strip():
            yield pos, max(begin, pos), end, stop
        pos = max(stop, pos + 1)


PY_FUNCTION = re.compile(r'^( *)(?:async )?def \w+\([^)]*\)[^:\n]*:\n +"""([^"]+?)"""\n((?:\1 .*\n|\n)+)', re.M)
C_FUNCTION = re.compile(r"^([ \t]*)/\*\*([^/]+?)\*/\n\1(\w[^\n;{]*\))[^\n;{]*\{\n((?:\1[ \t].*\n|\n)+?)\1\}", re.M)


def instructions(text, lang, rng):
    """(question, answer) from each documented function, in any order."""
    found = list((PY_FUNCTION if lang == "python" else C_FUNCTION).finditer(text[:40000]))
    rng.shuffle(found)
    for m in found:
        code = re.sub(r"(?m)^" + m[1], "", m[0].strip("\n"))
        doc = re.sub(r"\s*\n[\s*]*", "\n", m[2]).strip(" *\n")
        head = code.split("\n")[0].strip() if lang == "python" else m[3].strip()
        if len(code) <= 3000 and len(doc) >= 20:
            ask = rng.choice(["Write this {l} function: `{h}`.\n{d}", "Implement `{h}` in {l}.\n\n{d}", "{d}\n\nComplete the {l} function `{h}`."])
            yield ask.format(l=lang, h=head, d=doc), f"```{lang}\n{code}\n```"


# ---- samples: lists of (text or marker id, kind) -----------------------------------------------------------------

def file_samples(file, rng, a):
    """The samples of one file, as (may be cut, pieces)."""
    text, lang = file["text"][:a.max_chars], file["lang"].lower()
    header = [(FILE_SEP, NO_LOSS), (file["path"] + "\n", PLAIN)]  # as llama-server's /infill writes a file's name
    pairs = instructions(text, lang, rng)
    chat = lambda: [(False, [(IM_START, NO_LOSS), (f"system\n{SYSTEM}", NO_LOSS), (IM_END, NO_LOSS), ("\n", NO_LOSS),
                             (IM_START, NO_LOSS), (f"user\n{asked}", NO_LOSS), (IM_END, NO_LOSS), ("\n", NO_LOSS),
                             (IM_START, NO_LOSS), ("assistant\n", NO_LOSS), (answer, ANSWER), (IM_END, ANSWER)])
                    for asked, answer in itertools.islice(pairs, int(rng.random() < a.instruct))]
    yield from chat()
    if rng.random() >= a.fim or len(text) < 60:
        yield True, header + [(text, PLAIN)]
        return
    for pos, begin, end, stop in windows(text, rng, a.prefix_tokens * 3, a.suffix_tokens * 3):
        yield from chat()
        prefix, middle, suffix = text[pos:begin], text[begin:end], text[end:stop]
        name = [] if rng.random() < a.nameless else header  # an editor may send no name
        if rng.random() < a.psm:  # PSM
            yield False, name + [(FIM_PREFIX, NO_LOSS), (prefix, PLAIN), (FIM_SUFFIX, NO_LOSS), (suffix, PLAIN),
                                   (FIM_MIDDLE, NO_LOSS), (middle, MIDDLE), (FIM_END, MIDDLE)]
        else:  # SPM: the prefix comes last, so that a growing prefix keeps its cache
            yield False, name + [(FIM_PREFIX, NO_LOSS), (FIM_SUFFIX, NO_LOSS), (suffix, PLAIN), (FIM_MIDDLE, NO_LOSS),
                                   (prefix, PLAIN), (middle, MIDDLE), (FIM_END, MIDDLE)]


def encode(samples, tok):
    """(may be cut, file number, language, pieces) -> (may be cut, file number, tokens, classes), one batch call."""
    texts = [p for s in samples for p, _ in s[3] if isinstance(p, str)]
    ids = iter(tok.encode_batch_fast(texts, add_special_tokens=False))
    for cut, number, lang, pieces in samples:
        t, c = [], []
        for piece, kind in pieces:
            new = next(ids).ids if isinstance(piece, str) else [piece]
            t += new
            c += [lang * 4 + kind] * len(new)
        yield cut, number, t, c


class Packer:
    """Fills sequences of `seq` tokens. Plain samples may be cut. Before a hole that does not fit, the room left is
    filled, at the front, with text from the package's other files: context across files."""

    def __init__(self, seq):
        self.seq, self.tok, self.cls, self.done = seq, [], [], []

    def flush(self):
        if self.tok:
            pad = self.seq - len(self.tok)
            self.done.append((self.tok + [FIM_PAD] * pad, self.cls + [NO_LOSS] * pad))
            self.tok, self.cls = [], []

    def package(self, name_ids, samples, rng):
        start = [REPO_NAME] + name_ids
        fillers = [s for s in samples if s[0]]
        samples = [s for s in samples if len(s[2]) <= self.seq - len(start) - 2]
        rng.shuffle(samples)
        queue = [s for s in fillers if len(s[2]) > self.seq - len(start) - 2] + samples
        while queue:
            if not self.tok:
                self.tok, self.cls, self.inside, self.numbers = start[:], [NO_LOSS] * len(start), len(start), set()
            room = self.seq - len(self.tok)
            k = next((k for k, s in enumerate(queue[:200]) if len(s[2]) <= room or (s[0] and room > 64)), None)
            if k is not None:
                cut, number, t, c = queue.pop(k)
                self.tok, self.cls = self.tok + t[:room], self.cls + c[:room]
                self.numbers.add(number)
                if t[room:]:
                    queue.insert(0, (cut, number, t[room:], c[room:]))
            else:  # nothing fits
                other = [f for f in fillers if f[1] not in self.numbers and len(f[2]) > room // 2]
                if other and room > 16:
                    f, i = rng.choice(other), self.inside
                    self.tok, self.cls = self.tok[:i] + f[2][:room] + self.tok[i:], self.cls[:i] + f[3][:room] + self.cls[i:]
                self.flush()
            if len(self.tok) == self.seq:
                self.flush()
        if self.tok:  # the next package goes on in the same sequence
            room = self.seq - len(self.tok)
            if room < 128:
                self.flush()
            else:
                self.tok, self.cls = self.tok + [END_OF_TEXT] + start, self.cls + [PLAIN] + [NO_LOSS] * len(start)
                self.inside, self.numbers = len(self.tok), set()


def work(job):
    """One unit: some packages in one epoch. Returns (tokens, classes, bytes of text, seconds)."""
    packages, epoch, a = job
    began, tok, packer, size = time.process_time(), load_tokenizer(a.tokenizer), Packer(a.seq), 0
    for p in packages:
        rng = random.Random(f"{a.seed}/{epoch}/{p['package']}/{p['files'][0]['path']}")
        samples = []
        for number, file in enumerate(p["files"]):
            size += len(file["text"])
            lang = file["lang"].lower()
            lang = LANGS.index(lang) if lang in LANGS else 0
            samples += [(cut, number, lang, pieces) for cut, pieces in file_samples(file, rng, a)]
        packer.package(tok.encode(p["package"] + "\n", add_special_tokens=False).ids, list(encode(samples, tok)), rng)
    packer.flush()
    tokens, classes = (np.array([s[k] for s in packer.done], t).reshape(-1, a.seq) for k, t in ((0, np.uint16), (1, np.uint8)))
    return tokens, classes, size, time.process_time() - began


# ---- preparing ---------------------------------------------------------------------------------------------------

def read_shard(path):
    with lzma.open(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def prepare(a):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    out = Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    began = time.time()
    with Pool(a.workers) as pool:
        packages = [p for shard in pool.map(read_shard, sorted(Path(a.shards).glob("*.jsonl.xz"))) for p in shard]
        held_out = lambda p: int(hashlib.sha256(p["package"].encode()).hexdigest(), 16) % 1000 < a.val_share * 1000
        train, val = [p for p in packages if not held_out(p)], [p for p in packages if held_out(p)]
        random.Random(a.seed).shuffle(train)
        units, room = [[]], a.unit_bytes
        for p in train:
            units[-1].append(p)
            room -= sum(len(f["text"]) for f in p["files"])
            if room < 0:
                units.append([])
                room = a.unit_bytes
        meta = {"seq": a.seq, "langs": LANGS, "epochs": a.epochs, "sequences": [], "val_packages": [p["package"] for p in val], "args": vars(a)}
        names = [(f"train-e{e}", e, units) for e in range(a.first_epoch, a.first_epoch + a.epochs)] + [("val", 10 ** 6, [val])]
        for name, epoch, parts in names:
            n = size = cpu = 0
            counts = np.zeros(256, np.int64)
            with open(out / f"{name}.tok", "wb") as ft, open(out / f"{name}.cls", "wb") as fc:
                for tokens, classes, b, s in pool.imap(work, [(u, epoch, a) for u in parts if u]):  # in order
                    tokens.tofile(ft)
                    classes.tofile(fc)
                    n, size, cpu = n + len(tokens), size + b, cpu + s
                    counts += np.bincount(classes.reshape(-1), minlength=256)
            kinds = {k: int(counts[i::4].sum()) for i, k in enumerate(("no_loss", "plain", "middle", "answer"))}
            meta["sequences"].append([name, n])
            print(json.dumps({"name": name, "sequences": n, "tokens": n * a.seq, "text_mb": size / 1e6, "kinds": kinds,
                              "mb_per_cpu_second": round(size / 1e6 / max(cpu, 1e-9), 2), "seconds": round(time.time() - began, 1)}), flush=True)
    (out / "meta.json").write_text(json.dumps(meta, indent=1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="verb", required=True)
    t = sub.add_parser("tokenizer")
    t.add_argument("--base", required=True)
    t.add_argument("--out", required=True)
    q = sub.add_parser("prepare")
    q.add_argument("--tokenizer", required=True)
    q.add_argument("--shards", required=True)
    q.add_argument("--out", required=True)
    for name, default in dict(seq=2048, epochs=1, first_epoch=0, workers=os.cpu_count(), seed=1, unit_bytes=4_000_000, val_share=0.01, fim=0.85,
                              instruct=0.33, prefix_tokens=1200, suffix_tokens=400, max_chars=200_000, psm=0.25, nameless=0.15).items():
        q.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    a = p.parse_args()
    if a.verb == "tokenizer":
        from gguf_lite import Gguf
        build_tokenizer(Gguf(a.base).meta, a.out)
    else:
        prepare(a)


if __name__ == "__main__":
    main()
