"""Rounds weights to Q5_0 with error feedback: what rounding one column of a matrix spoils, the columns after it make good (GPTQ, arXiv:2210.17323).

  quantise.py --base base.gguf --model RUN/weights.pt --data DIR --out model.gguf

Layer after layer, on what the layers before it, already rounded, make of --sequences sequences of DIR. A block of 32 has the scale that
loses least, weighted by how large its inputs are; columns are taken from the largest input to the smallest. Needs torch.
"""
import argparse
import numpy as np
import torch
import torch.nn.functional as F
import model as M
from export import unpack, write_gguf
from gguf_lite import Gguf, pack_q5
from train import Batches

BLOCK, MOST = 32, 16  # values of a block; levels are -16 to 15
FACTORS = torch.cat([torch.ones(1), torch.linspace(0.82, 1.06, 13)])


def scales(w, importance):
    """Of each block of each row, the scale with the least weighted error: (rows, blocks), as f16 holds it."""
    b = w.view(len(w), -1, BLOCK)
    weight = importance.view(1, -1, BLOCK)
    top = b.gather(2, b.abs().argmax(2, keepdim=True)) / -MOST
    best = least = None
    for factor in FACTORS:
        d = (top * factor).half().float()
        q = torch.where(d == 0, torch.zeros_like(b), b / d).round().clamp_(-MOST, MOST - 1)
        # The scale that fits these levels best, if it is no worse as f16.
        fit = (((q * b * weight).sum(2, keepdim=True)) / (q * q * weight).sum(2, keepdim=True).clamp_min(1e-30)).half().float()
        for d in (d, fit):
            error = ((q * d - b).square() * weight).sum(2, keepdim=True)
            if best is None:
                best, least = d.clone(), error
            else:
                better = error < least
                best, least = torch.where(better, d, best), torch.where(better, error, least)
    return best.squeeze(2)


def levels(w, h, damp):
    """Scales (rows, blocks) and levels (rows, columns) for w, whose inputs have the second moments h."""
    w, n = w.clone(), w.shape[1]
    h = h + torch.eye(n) * damp * h.diagonal().mean()
    d = scales(w, h.diagonal())
    order = h.diagonal().argsort(descending=True)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h[order][:, order])), upper=True)
    w, each = w[:, order], d.repeat_interleave(BLOCK, 1)[:, order]
    q = torch.zeros_like(w)
    for i in range(0, n, 64):
        part, errors = w[:, i:i + 64], torch.zeros_like(w[:, i:i + 64])
        for j in range(part.shape[1]):
            column, scale = part[:, j], each[:, i + j]
            level = torch.where(scale == 0, torch.zeros_like(column), column / scale).round().clamp_(-MOST, MOST - 1)
            q[:, i + j] = level
            errors[:, j] = (column - level * scale) / inverse[i + j, i + j]
            part[:, j:] -= errors[:, j:j + 1] * inverse[i + j, i + j:i + part.shape[1]]
        w[:, i + 64:] -= errors @ inverse[i:i + 64, i + 64:]
    out = torch.empty_like(q)
    out[:, order] = q
    return d, out


def encoded(d, q):
    """Scales and levels as the bytes of Q5_0."""
    return pack_q5(d.reshape(-1, 1).numpy(), (q.reshape(-1, BLOCK).numpy() + MOST).astype(np.uint8))


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--base", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--name", default="foretype-135m")
    p.add_argument("--sequences", type=int, default=48)
    p.add_argument("--at-once", type=int, default=8, help="sequences in a pass")
    p.add_argument("--damp", type=float, default=0.01)
    p.add_argument("--seed", type=int, default=5)
    a = p.parse_args()
    weights = unpack(a.model)
    net = M.Model(M.Config.from_gguf(Gguf(a.base).meta))
    net.load_state_dict({n: torch.as_tensor(w) for n, w in weights.items()})
    ids = Batches(a.data, a.seed).train(0, a.sequences)[0][0]
    half = torch.arange(0, net.c.d // net.c.heads, 2).float() / (net.c.d // net.c.heads)
    angle = torch.arange(ids.shape[1]).float()[:, None] * net.c.rope_base ** -half
    cos, sin = angle.cos(), angle.sin()
    table = net.token_embd.weight
    d = scales(table, torch.ones(net.c.d))
    each = d.repeat_interleave(BLOCK, 1)
    q = torch.where(each == 0, torch.zeros_like(table), table / each).round().clamp_(-MOST, MOST - 1)
    ready = {"token_embd.weight": ("Q5_0", encoded(d, q))}
    x = F.embedding(ids, q * each)
    for number, block in enumerate(net.blk):
        moments, hooks = {}, []

        def watch(name):
            def hook(_, inputs):
                flat = inputs[0].flatten(0, 1)
                moments[name] = moments.get(name, 0) + flat.T @ flat
            return hook

        # Q, K and V see the same; so do the gate and up.
        for name in ("attn_q", "attn_output", "ffn_gate", "ffn_down"):
            hooks.append(getattr(block, name).register_forward_pre_hook(watch(name)))
        for i in range(0, len(x), a.at_once):
            block(x[i:i + a.at_once], cos, sin)
        for hook in hooks:
            hook.remove()
        lost = []
        for name, of in dict(attn_q="attn_q", attn_k="attn_q", attn_v="attn_q", attn_output="attn_output",
                             ffn_gate="ffn_gate", ffn_up="ffn_gate", ffn_down="ffn_down").items():
            layer = getattr(block, name)
            h = moments[of] / ids.numel()
            d, q = levels(layer.weight, h, a.damp)
            rounded = q * d.repeat_interleave(BLOCK, 1)
            plain = scales(layer.weight, torch.ones(len(h))).repeat_interleave(BLOCK, 1)
            plain = torch.where(plain == 0, plain, (layer.weight / plain).round().clamp_(-MOST, MOST - 1) * plain)
            spoilt = lambda w: ((w - layer.weight) @ h * (w - layer.weight)).sum().item()
            lost.append(f"{name} {spoilt(rounded) / max(spoilt(plain), 1e-30):.2f}")
            layer.weight.copy_(rounded)
            ready[f"blk.{number}.{name}.weight"] = ("Q5_0", encoded(d, q))
        for i in range(0, len(x), a.at_once):
            x[i:i + a.at_once] = block(x[i:i + a.at_once], cos, sin)
        print(f"layer {number}: what is lost, of what rounding with the least squared error loses: {', '.join(lost)}", flush=True)
    write_gguf(a.base, weights, a.out, "Q5_0", a.name, ready)


if __name__ == "__main__":
    main()
