"""Continues training on a CPU: whole weights or low-rank changes to them, short sequences, a wall-clock limit. Computes in
bf16 where --type says so (a CPU with AMX or AVX512_BF16), else in float32.

  train_cpu.py --base base.gguf --data DIR --out RUN --until 15:20 --ranks 2
  train_cpu.py ... --resume               goes on from RUN/last.pt

One single-threaded process a core: processes that share a busy machine must not wait for each other inside every operation,
only once a step, where they average gradients. Weights are kept in float32 and copied to what is computed in once a step;
in the last part of the run the copies are rounded as --round-to says, as the shipped file is, so that shipping loses next
to nothing (straight-through estimator). With --low-rank the matrices are W + B A, of which A and B are trained (LoRA,
arXiv:2106.09685): a third less to compute; the rounded sum is what takes part, so that rounding is learnt all the same.
The learning rate follows the clock. RUN/weights.pt is the last state, RUN/mean.pt a running mean of the last steps,
RUN/start.pt what --spread made of the weights to start from. On a quiet machine --ranks 1 --threads 2 does as well, in
half the memory. --skip leaves out the batches that an earlier run has seen. With --alone nothing looks back past the end of
a middle, so that each sample is read as Foretype asks: by itself, with at most other files before it.
"""
import argparse, json, math, os, time
from datetime import datetime
from pathlib import Path
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
import model as M
from data import ANSWER, FIM_END, MIDDLE, NO_LOSS, PLAIN
from gguf_lite import Gguf
from train import Batches

EMBEDDING = "token_embd.weight"
ENDS = 256  # where the ends of middles are counted, behind the classes
BLOCK = 128  # queries that attend together: earlier ones need not look at later keys


def rms_norm(x, weight, eps):
    f = x.float()
    return (f * torch.rsqrt(f.square().mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def rotate(x, cos, sin):  # (batch, time, heads, dim), pairs (0,1), (2,3), ...
    f = x.float().unflatten(-1, (-1, 2))
    a, b = f[..., 0], f[..., 1]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


def block_forward(x, an, wq, wk, wv, wo, fn, wg, wu, wd, cos, sin, mask, eps, heads, kv):
    b, t, d = x.shape
    h = rms_norm(x, an, eps)
    q = rotate(linear(h, wq).view(b, t, heads, -1), cos, sin)
    k = rotate(linear(h, wk).view(b, t, kv, -1), cos, sin)
    v = linear(h, wv).view(b, t, kv, -1)
    dim, g = q.shape[-1], heads // kv
    q = q.view(b, t, kv, g, dim).permute(0, 2, 3, 1, 4)  # b kv g t dim
    k = k.permute(0, 2, 3, 1).reshape(b * kv, dim, t)
    v = v.permute(0, 2, 1, 3).reshape(b * kv, t, dim)
    parts = []
    for i in range(0, t, BLOCK):
        n, e = min(BLOCK, t - i), min(i + BLOCK, t)
        s = torch.bmm(q[:, :, :, i:e].reshape(b * kv, g * n, dim), k[:, :, :e]).view(b, kv, g, n, e)
        p = torch.softmax(s.float() * dim ** -0.5 + mask[:, None, None, i:e, :e], -1).to(x.dtype)
        parts.append(torch.bmm(p.view(b * kv, g * n, e), v[:, :e]).view(b, kv, g, n, dim))
    y = torch.cat(parts, 3).permute(0, 3, 1, 2, 4).reshape(b, t, d)
    x = x + linear(y, wo)
    h = rms_norm(x, fn, eps)
    return x + linear(F.silu(linear(h, wg)) * linear(h, wu), wd)


NAMES = ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"]


def rounded(w, bits):
    """w as Q4_0 or Q5_0 holds it: blocks of 32, scale = the value of largest magnitude / -8 or -16, in f16."""
    b, most = w.view(-1, 32), 1 << bits - 1
    top = b.gather(1, b.abs().argmax(1, keepdim=True))
    scale = (top / -most).half().float()
    q = torch.where(scale == 0, torch.zeros_like(b), b / scale)
    return ((q + most + 0.5).floor().clamp_(0, 2 * most - 1).sub_(most) * scale).view_as(w)


def spread(w, bits, generator):
    """Weights that round to what w rounds to, spread evenly over each value's share of the range. Those of a rounded file all stand in the
    middle of theirs, where small steps change nothing."""
    b = rounded(w, bits).view(-1, 32)
    at = b.abs().argmax(1, keepdim=True)
    top = b.gather(1, at)
    step = top.abs() / (1 << bits - 1)
    b = b + (torch.rand(b.shape, generator=generator) - 0.5) * 0.98 * step
    limit = top.abs() - step / 100
    return torch.minimum(torch.maximum(b, -limit), limit).scatter_(1, at, top).view_as(w)


class LowRank(torch.autograd.Function):
    """x W^T for a W that is B A added to fixed weights, rounded or not: the gradient goes to A and B alone, and past the rounding."""

    @staticmethod
    def forward(ctx, x, w, a, b):
        ctx.save_for_backward(x, w, a, b)
        return F.linear(x, w)

    @staticmethod
    def backward(ctx, grad):
        x, w, a, b = ctx.saved_tensors
        flat, g = x.flatten(0, -2), grad.flatten(0, -2)
        return grad @ w, None, (g @ b).T @ flat, g.T @ (flat @ a.T)


def linear(x, w):
    return LowRank.apply(x, *w) if isinstance(w, tuple) else F.linear(x, w)


class Worker:
    def __init__(self, a, rank):
        self.a, self.rank = a, rank
        torch.set_num_threads(a.threads)
        torch.manual_seed(a.seed)
        self.data = Batches(a.data, a.seed)
        gguf = Gguf(a.base)
        self.c = M.Config.from_gguf(gguf.meta)
        self.master = {n: torch.from_numpy(np.array(gguf.tensor(n), dtype=np.float32)) for n in gguf.info}
        if a.weights:
            for n, w in torch.load(a.weights, weights_only=True).items():
                self.master[n] = w.float()
        self.bits = {"Q4_0": 4, "Q5_0": 5}[a.round_to]
        if a.spread:
            at_random = torch.Generator().manual_seed(a.seed)
            self.master = {n: spread(w, self.bits, at_random) if self.is_coarse(n, w) else w for n, w in self.master.items()}
            if not rank and not a.resume:
                Path(a.out).mkdir(parents=True, exist_ok=True)
                torch.save(self.master, Path(a.out) / "start.pt")
        kind = getattr(torch, a.type)
        self.work = {n: torch.empty_like(w, dtype=kind if w.ndim > 1 else torch.float32) for n, w in self.master.items()}
        self.fixed = {}
        if a.low_rank:
            self.fixed = {n: w for n, w in self.master.items() if w.ndim > 1}
            self.master = {n: w for n, w in self.master.items() if w.ndim == 1}
            for n, w in self.fixed.items():
                if n != EMBEDDING:
                    self.master[n + ".a"] = torch.randn(a.low_rank, w.shape[1]) / w.shape[1] ** 0.5
                    self.master[n + ".b"] = torch.zeros(w.shape[0], a.low_rank)
        self.names = list(self.master)
        for n in self.names:
            self.master[n].requires_grad_()
            if n.endswith((".a", ".b")):
                self.work[n] = torch.empty_like(self.master[n], dtype=kind)
            self.work[n].requires_grad_()
        rows = [w for w in self.master.values()]
        decay = lambda keep: [w for w in rows if (w.ndim > 1) == keep]
        self.opt = torch.optim.AdamW([{"params": decay(True), "weight_decay": a.wd}, {"params": decay(False), "weight_decay": 0.0}],
                                     lr=a.lr, betas=(0.9, 0.98), eps=1e-10, fused=True)
        self.step, self.spent, self.tokens = 0, 0.0, 0
        self.out = Path(a.out)
        self.out.mkdir(parents=True, exist_ok=True)
        if a.resume and (self.out / "last.pt").exists():
            s = torch.load(self.out / "last.pt", weights_only=True)
            with torch.no_grad():
                for n in self.names:
                    self.master[n].copy_(s["model"][n])
            self.opt.load_state_dict(s["opt"])
            self.step, self.spent, self.tokens = s["step"], s["spent"], s["tokens"]
        self.mean = {n: w.detach().clone() for n, w in self.master.items()}
        seq, half = self.data.seq, self.c.d // self.c.heads // 2
        angle = torch.arange(seq).float()[:, None] * self.c.rope_base ** (-torch.arange(half).float() / half)
        self.cos, self.sin = angle.cos()[:, None], angle.sin()[:, None]
        self.mask = torch.full((1, seq, seq), float("-inf")).triu(1)
        self.block = torch.compile(block_forward, dynamic=False) if a.compile else block_forward
        self.softmax_loss = torch.compile(M.softmax_loss) if a.compile else M.softmax_loss
        self.rng = torch.Generator().manual_seed(a.seed * 1000 + rank + 7919 * self.step)

    @torch.no_grad()
    def refresh(self, is_rounded):
        for n in self.names:
            if n.endswith((".a", ".b")):
                self.work[n].copy_(self.master[n])
        for n, w in self.whole(self.master).items():
            self.work[n].copy_(rounded(w, self.bits) if is_rounded and self.is_coarse(n, w) else w)

    def is_coarse(self, name, w):
        # Of the embedding, Q4_0 files keep 8 bits.
        return w.ndim > 1 and (name != EMBEDDING or self.bits == 5)

    @torch.no_grad()
    def whole(self, weights):
        """Weights by their names in the file, low-rank changes added."""
        change = lambda n: 0 if n == EMBEDDING else weights[n + ".b"] @ weights[n + ".a"]
        plain = {n: w for n, w in weights.items() if not n.endswith((".a", ".b"))}
        return plain | {n: w + change(n) for n, w in self.fixed.items()}

    def operand(self, name):
        w = self.work
        return (w[name], w[name + ".a"], w[name + ".b"]) if name + ".a" in w else w[name]

    def visible(self, ids):
        """What is added to attention's scores: nothing looks ahead and, with --alone, past the end of an earlier middle."""
        if not self.a.alone:
            return self.mask
        ended = (ids == FIM_END).cumsum(1) - (ids == FIM_END).long()
        return self.mask.masked_fill(ended[:, :, None] != ended[:, None], float("-inf"))

    def hidden(self, ids):
        w, mask = self.work, self.visible(ids)
        x = F.embedding(ids, w[EMBEDDING])
        for i in range(self.c.layers):
            x = self.block(x, *(self.operand(f"blk.{i}.{n}.weight") for n in NAMES), self.cos, self.sin, mask, self.c.eps, self.c.heads, self.c.kv_heads)
        return rms_norm(x, w["output_norm.weight"], self.c.eps)

    def losses(self, ids, cls, train):
        h = self.hidden(ids)[:, :-1].flatten(0, 1)
        target, kind = ids[:, 1:].flatten(), cls[:, 1:].flatten() % 4
        keep = kind > NO_LOSS
        if train:  # the head is a fifth of the work: all of the middles, a sample of the rest
            keep &= (kind >= MIDDLE) | (torch.rand(len(kind), generator=self.rng) < self.a.plain_share)
        weight = torch.where(kind == MIDDLE, self.a.middle_weight, 1.0)
        weight = torch.where(target == FIM_END, self.a.end_weight, weight)[keep]
        rows = keep.nonzero()[:, 0]
        pad = -len(rows) % self.a.chunk  # one shape for the compiled loss
        rows, weight = torch.cat([rows, rows[:1].expand(pad)]), torch.cat([weight, torch.zeros(pad)])
        M.softmax_loss = self.softmax_loss
        loss, each = M.HeadLoss.apply(h[rows], self.work[EMBEDDING], target[rows], weight / weight.sum(), self.a.chunk)
        n = len(rows) - pad
        rows = rows[:n]
        return loss, each[:n], cls[:, 1:].flatten()[rows], target[rows] == FIM_END

    def log(self, **row):
        if self.rank == 0:
            row = {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}
            with open(self.out / "log.jsonl", "a") as f:
                f.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)

    @torch.no_grad()
    def validate(self):
        total, count = torch.zeros(ENDS + 1, dtype=torch.float64), torch.zeros(ENDS + 1, dtype=torch.float64)
        for i, (ids, cls) in enumerate(self.data.val(self.a.micro, self.a.val_sequences)):
            if i % self.a.ranks == self.rank and len(ids) == self.a.micro:
                _, each, kind, is_end = self.losses(ids, cls, False)
                for kinds, those in ((kind, each), (torch.full((int(is_end.sum()),), ENDS), each[is_end])):
                    total.index_add_(0, kinds, those.double())
                    count.index_add_(0, kinds, torch.ones_like(those, dtype=torch.float64))
        if self.a.ranks > 1:
            dist.all_reduce(total)
            dist.all_reduce(count)
        row = {}
        for kind, name in ((PLAIN, "plain"), (MIDDLE, "middle"), (ANSWER, "answer")):
            if count[kind:ENDS:4].sum():
                row["val_" + name] = (total[kind:ENDS:4].sum() / count[kind:ENDS:4].sum()).item()
        if count[ENDS]:
            row["val_end"] = (total[ENDS] / count[ENDS]).item()
        for i, lang in enumerate(self.data.meta["langs"]):
            if count[i * 4 + MIDDLE] > 200:
                row["val_middle_" + lang] = (total[i * 4 + MIDDLE] / count[i * 4 + MIDDLE]).item()
        self.log(step=self.step, tokens=self.tokens, minutes=self.spent / 60, **row)

    def save(self):
        if self.rank:
            return
        with torch.no_grad():
            state = {"model": self.master, "opt": self.opt.state_dict(), "step": self.step, "spent": self.spent, "tokens": self.tokens}
            narrow = lambda weights: {n: w.detach().bfloat16() if w.ndim > 1 else w.detach().clone() for n, w in self.whole(weights).items()}
            for name, what in (("last", state), ("weights", narrow(self.master)), ("mean", narrow(self.mean))):
                torch.save(what, self.out / f"{name}.tmp")
                os.replace(self.out / f"{name}.tmp", self.out / f"{name}.pt")

    def train_step(self, progress):
        a = self.a
        lr = a.lr * min(1, (progress + 1e-3) / a.warmup, 0.04 + 0.96 * (1 - progress) / (1 - a.hold)) if progress > a.hold else a.lr * min(1, (progress + 1e-3) / a.warmup)
        for g in self.opt.param_groups:
            g["lr"] = lr
        self.refresh(progress >= a.round_from)
        micros = a.batch // a.micro // a.ranks
        batch, _ = self.data.train(self.step + a.skip, a.batch)
        total, count = torch.zeros(4), torch.zeros(4)
        for m in range(micros):
            part = slice((m * a.ranks + self.rank) * a.micro, (m * a.ranks + self.rank + 1) * a.micro)
            loss, each, kind, _ = self.losses(batch[0][part], batch[1][part], True)
            (loss / micros).backward()
            total.index_add_(0, kind % 4, each)
            count.index_add_(0, kind % 4, torch.ones_like(each))
        kind = getattr(torch, a.type)
        grads = torch.cat([self.work[n].grad.flatten().to(kind) for n in self.names])
        if a.ranks > 1:
            dist.all_reduce(grads)
            grads /= a.ranks
        norm = grads.float().norm().item()
        at = 0
        for n in self.names:
            w, size = self.master[n], self.master[n].numel()
            w.grad = grads[at:at + size].view_as(w).float() * min(1.0, a.clip / (norm + 1e-6))
            at += size
            self.work[n].grad = None
        self.opt.step()
        with torch.no_grad():
            keep = min(a.ema, 1 - 1 / (self.step + 2))
            for n, w in self.master.items():
                self.mean[n].lerp_(w, 1 - keep)
        for w in self.master.values():
            w.grad = None
        return total, count, norm, lr

    def run(self):
        a = self.a
        hour, minute = map(int, a.until.split(":"))
        end = datetime.now().replace(hour=hour, minute=minute, second=0).timestamp()
        began = time.time()
        start = began - self.spent
        self.refresh(a.round_from == 0)
        if a.val_every:
            self.validate()
        saved = time.time()
        while True:
            # All ranks must agree on the clock.
            now = torch.tensor([time.time()], dtype=torch.float64)
            if a.ranks > 1:
                dist.broadcast(now, 0)
            now = now.item()
            progress = (now - start) / (end - start)
            if progress >= 1 or (a.steps and self.step >= a.steps):
                break
            mark = time.time()
            total, count, norm, lr = self.train_step(progress)
            self.step, self.tokens, self.spent = self.step + 1, self.tokens + a.batch * self.data.seq, now - start
            if self.step % a.log_every == 0:
                row = {n: (total[k] / count[k]).item() for k, n in ((PLAIN, "plain"), (MIDDLE, "middle"), (ANSWER, "answer")) if count[k]}
                self.log(step=self.step, tokens=self.tokens, lr=lr, **row, norm=norm, tokens_per_s=a.batch * self.data.seq / (time.time() - mark), progress=progress)
            if a.val_every and self.step % a.val_every == 0:
                self.refresh(progress >= a.round_from)
                self.validate()
            if now - saved > a.save_minutes * 60:
                self.save()
                saved = now
        self.refresh(True)
        self.save()
        if a.val_every:
            self.validate()
        self.log(step=self.step, done=True, wall_minutes=(time.time() - began) / 60)


def main(rank=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--base", required=True)
    p.add_argument("--weights", help="weights.pt of an earlier run, to start from instead of the base")
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--until", required=True, help="HH:MM of today")
    p.add_argument("--resume", action="store_true")
    p.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    p.add_argument("--spread", action="store_true", help="the weights come from a rounded file: let them round to the same, and move at once")
    p.add_argument("--alone", action="store_true", help="a sample does not see those before it in its sequence")
    p.add_argument("--type", choices=["bfloat16", "float32"], default="bfloat16")
    p.add_argument("--round-to", choices=["Q4_0", "Q5_0"], default="Q5_0")
    for name, default in dict(low_rank=0, threads=1, skip=0, ranks=2, steps=0, lr=4e-4, wd=0.01, clip=1.0, warmup=0.02, hold=0.3, batch=24, micro=12, chunk=128, middle_weight=2.0, end_weight=2.0,
                              plain_share=0.35, ema=0.97, round_from=0.85, seed=1, log_every=10, val_every=100, val_sequences=96, save_minutes=6.0).items():
        p.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    a = p.parse_args()
    assert a.batch % (a.micro * a.ranks) == 0
    if a.ranks == 1:
        return Worker(a, 0).run()
    if rank is None:
        torch.multiprocessing.spawn(start, nprocs=a.ranks)
        return
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29517")
    dist.init_process_group("gloo", rank=rank, world_size=a.ranks)
    Worker(a, rank).run()


def start(rank):
    main(rank)


if __name__ == "__main__":
    main()
