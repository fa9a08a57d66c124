"""Carries weights home and turns them into GGUF files. Needs numpy alone, and torch for `.pt` files.

  export.py pack --weights RUN/weights.pt --kind q8|bf16 --out model.q8      on the training machine: one flat file
  export.py mix --base base.gguf --model RUN/weights.pt --share 0.6 --out mixed.pt      0.6 of these weights, 0.4 of the base, or of RUN/start.pt
  export.py gguf --base base.gguf --model model.q8 --kind Q4_0 --out model.gguf

A flat file is a line of JSON (name, shape, kind of every tensor) and the raw bytes. q8 is GGUF's own Q8_0 (blocks of
32), so a Q8_0 file made from it loses nothing more; bf16 is the checkpoint's weights exactly as weights.pt has them.
--model also takes weights.pt itself, or a GGUF file. --kind is F16, BF16, Q8_0, Q5_0 or Q4_0; with Q4_0 the embedding, which
is the output matrix too, is Q8_0. Norms are F32 always.
"""
import argparse, json
from pathlib import Path
import numpy as np
from data import FIM_END, FIM_MIDDLE, FIM_PAD, FIM_PREFIX, FIM_SUFFIX, FILE_SEP, REPO_NAME, SPECIALS, rename
from gguf_lite import Gguf, dequantise, encode, entry_text, entry_texts, entry_u32, write

FILE_TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "Q5_0": 8, "BF16": 32}
MARKERS = dict(fim_pre=FIM_PREFIX, fim_suf=FIM_SUFFIX, fim_mid=FIM_MIDDLE, fim_pad=FIM_PAD, fim_rep=REPO_NAME,
               fim_sep=FILE_SEP, eot=FIM_END)  # eot ends a generation: the end of a middle


def pack(weights, kind, out):
    import torch
    state, head, blobs = torch.load(weights, map_location="cpu", weights_only=True), [], []
    for name, w in state.items():
        as_kind = "F32" if w.ndim == 1 else {"q8": "Q8_0", "bf16": "BF16"}[kind]
        raw = encode(w.float().numpy(), as_kind)
        head.append([name, list(w.shape), as_kind, raw.nbytes])
        blobs.append(raw)
    with open(out, "wb") as f:
        f.write(json.dumps(head).encode() + b"\n")
        for b in blobs:
            f.write(b.tobytes())
    print(out, Path(out).stat().st_size, "bytes")


def unpack(path):
    if str(path).endswith(".pt"):
        import torch
        return {n: w.float().numpy() for n, w in torch.load(path, map_location="cpu", weights_only=True).items()}
    if str(path).endswith(".gguf"):
        g = Gguf(path)
        return {n: g.tensor(n) for n in g.info}
    with open(path, "rb") as f:
        head, out = json.loads(f.readline()), {}
        for name, shape, kind, size in head:
            out[name] = dequantise(np.frombuffer(f.read(size), np.uint8), kind).reshape(shape)
    return out


def mix(base, model, share, out):
    """A point on the line from the base to what was trained: a short run's noise is left out, what it learnt stays."""
    import torch
    source, weights = unpack(base), unpack(model)
    mixed = {n: torch.from_numpy(source[n] * (1 - share) + w * share) for n, w in weights.items()}
    known = "token_embd.weight"  # the base knows nothing of the markers
    mixed[known][:SPECIALS] = torch.as_tensor(weights[known][:SPECIALS])
    torch.save(mixed, out)


def write_gguf(base, weights, out, kind, name, ready={}):
    """The base's metadata with the renamed special tokens and our name; matrices in `kind`, norms in F32; those in
    `ready` are encoded already: (kind, bytes)."""
    source = Gguf(base)
    own = {"general.name": entry_text("general.name", name),
           "general.file_type": entry_u32("general.file_type", FILE_TYPES[kind]),
           "tokenizer.ggml.tokens": entry_texts("tokenizer.ggml.tokens", rename(source.meta["tokenizer.ggml.tokens"]))}
    for marker, token in MARKERS.items():
        key = f"tokenizer.ggml.{marker}_token_id"
        own[key] = entry_u32(key, token)
    entries = [own.pop(key, entry) for key, entry in source.entries.items()] + list(own.values())
    tensors = []
    for tensor in source.info:
        w = weights[tensor]
        as_kind = "F32" if w.ndim == 1 else "Q8_0" if kind == "Q4_0" and tensor == "token_embd.weight" else kind
        as_kind, raw = ready[tensor] if tensor in ready else (as_kind, encode(w, as_kind))
        tensors.append((tensor, list(w.shape), as_kind, raw))
    write(out, entries, tensors)
    print(out, Path(out).stat().st_size, "bytes")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("verb", choices=["pack", "mix", "gguf"])
    p.add_argument("--weights")
    p.add_argument("--kind", choices=["q8", "bf16", *FILE_TYPES])
    p.add_argument("--base")
    p.add_argument("--model", help="a flat file of pack, weights.pt, or a .gguf")
    p.add_argument("--name", default="foretype-135m")
    p.add_argument("--share", type=float, default=0.6)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    if a.verb == "pack":
        return pack(a.weights, a.kind or "q8", a.out)
    if a.verb == "mix":
        return mix(a.base, a.model, a.share, a.out)
    Path(a.out).parent.mkdir(parents=True, exist_ok=True)
    write_gguf(a.base, unpack(a.model), a.out, a.kind or "Q4_0", a.name)


if __name__ == "__main__":
    main()
