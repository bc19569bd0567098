"""B1: the best PyTorch, one configuration of it. tune.py looks for the quickest.

Tokens lie on the device before the clock starts; masked copies are made there. All batches of one
shape are one CUDA graph, from expansion to log-probabilities; the parts between attentions are
compiled.
"""

import contextlib
from typing import NamedTuple

import numpy as np
import torch
import torch._dynamo

import attention
import copies
import encoder

FLAT = 1 << 22  # tokens of hypotheses that fit on the device at once


class Config(NamedTuple):
    budget: int = 32768  # tokens of a batch, a multiple of 128
    even: bool = True  # batches of one length, the rest packed; else all packed
    packed: str = "varlen"
    compile: str = "no"  # "no", "default", "max-autotune-no-cudagraphs"
    dynamic: bool = False  # even batches of several lengths, whose rows differ, are compiled once
    graphs: bool = True
    trim: bool = False  # the last layer at masked rows only: not what B1 means, reported apart
    attend: tuple = ((0, "any"),)  # of even batches: (from this length on, kind), ascending

    def kind(self, length):
        return [kind for least, kind in self.attend if least <= length][-1]

    def text(self):
        parts = ["even" if self.even else f"packed {self.packed}", f"{self.budget} tokens",
                 {"no": "eager"}.get(self.compile, self.compile.removesuffix("-no-cudagraphs"))]
        if self.even:
            parts.append("+".join(dict.fromkeys(kind for _, kind in self.attend)))
        return ", ".join(parts + ["graphs"] * self.graphs + ["last layer trimmed"] * self.trim)


class Functions:
    """The parts between attentions, as they are or compiled; kept, since compiling takes long."""

    cache = {}

    def __init__(self, mode, dynamic):
        def build(fn, free):
            return fn if mode == "no" else torch.compile(
                fn, mode=None if mode == "default" else mode, dynamic=None if free else False,
                fullgraph=True)

        self.embed, self.block = build(encoder.embed, dynamic), build(encoder.block, dynamic)
        self.finish, self.head = build(encoder.finish, dynamic), build(encoder.head, True)
        self.finish_rows = build(encoder.finish, True)

    @classmethod
    def get(cls, mode, dynamic):
        if (mode, dynamic) not in cls.cache:
            torch._dynamo.config.recompile_limit = 64  # budgets, modes, kinds of work
            cls.cache[mode, dynamic] = cls(mode, dynamic)
        return cls.cache[mode, dynamic]

    @classmethod
    def forget(cls):
        """Before another model: sizes that differ would be taken for variables."""
        cls.cache.clear()
        torch._dynamo.reset()


class Inputs:
    """What a batch reads: fixed addresses, since graphs keep them."""

    def __init__(self, batch, device):
        def zeros(n):
            return torch.zeros(n, dtype=torch.int64, device=device)

        self.start, self.mask = zeros(batch.slots), zeros(batch.slots)
        self.cu = zeros(0 if batch.length else batch.slots + 1)

    def fill(self, batch, loaded):
        self.start.copy_(loaded.start[batch.at: batch.at + batch.slots])
        self.mask.copy_(loaded.mask[batch.at: batch.at + batch.slots])
        if not batch.length:
            self.cu.copy_(loaded.cu[batch.cu_at: batch.cu_at + batch.slots + 1])


class Loaded:
    """A plan and its tokens on the device."""

    def __init__(self, tokens, plan, device):
        self.plan, self.n_copies = plan, len(plan.hyp)
        self.start, self.mask, self.cu, self.flat = (
            torch.from_numpy(np.ascontiguousarray(a)).to(device)
            for a in (plan.start, plan.mask, plan.cu, tokens.flat))


class Engine:
    def __init__(self, weights, config, mask_id):
        self.w, self.config, self.mask_id = weights, config, mask_id
        self.device = weights.device
        self.flat = torch.zeros(FLAT, dtype=torch.int64, device=self.device)
        self.f = Functions.get(config.compile, config.dynamic)
        self.graphs = {}
        self.pool = torch.cuda.graph_pool_handle() if config.graphs else None

    # ---- one batch ----

    def expand(self, batch, inputs):
        """ids, places, masked rows and targets of all copies."""
        target = self.flat[inputs.start + inputs.mask]
        if batch.length:
            place = torch.arange(batch.length, device=self.device)
            ids = self.flat[inputs.start[:, None] + place].flatten()
            rows = torch.arange(batch.slots, device=self.device) * batch.length + inputs.mask
            place = place.repeat(batch.slots)
        else:
            at = torch.arange(self.config.budget, device=self.device)
            sequence = torch.searchsorted(inputs.cu[1:], at, right=True).clamp(max=batch.slots - 1)
            place = (at - inputs.cu[sequence]).clamp(max=batch.longest - 1)
            ids = self.flat[(inputs.start[sequence] + place).clamp(0, FLAT - 1)]
            rows = inputs.cu[:-1] + inputs.mask
        return ids.index_fill_(0, rows, self.mask_id), place, rows, target

    def attention(self, batch, inputs):
        if batch.length:
            return attention.Even(self.config.kind(batch.length), self.w, batch)
        return attention.packed(self.config.packed, self.w, batch.longest, inputs.cu,
                                self.config.budget)

    def forward(self, batch, inputs):
        w, f = self.w, self.f
        ids, place, rows, target = self.expand(batch, inputs)
        attend = self.attention(batch, inputs)
        x, qkv = f.embed(ids, place, *w.embed, *w.qkv[0])
        for i in range(w.layers - 1):
            x, qkv = f.block(attend(qkv), x, w.layer[i], *w.qkv[i + 1])
        context = attend(qkv)
        if self.config.trim:
            x = f.finish_rows(context[rows], x[rows], *w.layer[-1])
        else:
            x = f.finish(context, x, *w.layer[-1])[rows]
        return f.head(x, target, *w.head)

    def capture(self, batch, loaded):
        """A graph of this batch's shape: (graph, its inputs, its output)."""
        inputs = Inputs(batch, self.device)
        inputs.fill(batch, loaded)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # compiles, and lets libraries make their workspaces
            for _ in range(2):
                self.forward(batch, inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread that writes scores may wait for an event meanwhile
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            out = self.forward(batch, inputs)
        return graph, inputs, out

    def run_batch(self, batch, loaded, out):
        if self.config.graphs:
            if batch.shape not in self.graphs:
                self.graphs[batch.shape] = self.capture(batch, loaded)
            graph, inputs, result = self.graphs[batch.shape]
            inputs.fill(batch, loaded)
            graph.replay()
        else:
            inputs = Inputs(batch, self.device)
            inputs.fill(batch, loaded)
            result = self.forward(batch, inputs)
        out[batch.at: batch.at + batch.slots].copy_(result)

    # ---- many ----

    def plan(self, tokens):
        return copies.Plan(tokens, self.config.budget, self.config.even, attention.group)

    def load(self, tokens):
        if len(tokens.flat) > FLAT:
            raise ValueError(f"{len(tokens.flat)} tokens at once, {FLAT} is the limit")
        return Loaded(tokens, self.plan(tokens), self.device)

    def run(self, loaded):
        """Log-probabilities of all slots, on the device; work is queued, not waited for."""
        with torch.no_grad():
            self.flat[: len(loaded.flat)].copy_(loaded.flat)
            out = torch.empty(loaded.plan.used, dtype=torch.float32, device=self.device)
            for batch in loaded.plan.batches:
                self.run_batch(batch, loaded, out)
        return out

    def logp(self, tokens):
        """Log-probability of every token, in the order of the hypotheses."""
        loaded = self.load(tokens)
        return self.run(loaded).cpu().numpy()[loaded.plan.slot]

    def close(self):
        self.graphs.clear()
        if self.config.graphs:
            with contextlib.suppress(RuntimeError):
                torch.cuda.empty_cache()
