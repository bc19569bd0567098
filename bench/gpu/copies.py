"""Masked copies of hypotheses, and how they are laid into batches of a fixed number of tokens.

Even: copies of one length, as many as fit; no token is padding and no mask is needed.
Packed: copies of any lengths one after the other; `cu` says where each begins. What even batches
leave over is packed.

A batch has `slots` for copies. A packed batch rounds their number up, so that few sizes occur;
slots to spare repeat the last copy's masked token and hold no token of their own.
"""

from typing import NamedTuple

import numpy as np

QUANTUM = 128  # slots of a packed batch are a multiple of this


class Batch(NamedTuple):
    length: int  # of every copy; 0: packed
    longest: int  # of a packed batch, rounded up to 128
    slots: int
    at: int  # first slot in the plan's arrays
    cu_at: int  # first entry in the plan's `cu`, which has slots + 1; packed only

    @property
    def shape(self):
        """Batches of one shape run the same kernels on the same sizes."""
        return self.length, self.longest, self.slots


class Plan:
    """start, mask: of each slot, its hypothesis in the flat tokens and the masked token's place.
    slot, hyp: of each copy, in the order of the archive."""

    def __init__(self, tokens, budget, even=True, group=lambda length: 1, lay=True):
        count = tokens.length - 2
        self.hyps = len(tokens)
        self.hyp = np.repeat(np.arange(self.hyps), count)
        first = np.repeat(np.cumsum(count) - count, count)
        self.place = np.arange(len(self.hyp)) - first + 1
        self.starts, self.lengths = tokens.start[self.hyp], tokens.length[self.hyp]
        if lay:
            self.lay(budget, even, group)

    def lay(self, budget, even, group):
        self.slot = np.zeros(len(self.hyp), np.int64)
        self.batches, self.parts, self.cu_parts = [], [], []
        self.used = self.cu_used = 0
        order = np.argsort(self.lengths, kind="stable")
        if even:
            order = self.add_even(order, budget, group)
        self.add_packed(order, budget)
        self.start = self.join([start for start, _ in self.parts])
        self.mask = self.join([mask for _, mask in self.parts])
        self.cu = self.join(self.cu_parts)

    @staticmethod
    def join(parts):
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def add(self, copies, slots, length, longest, start, mask, cu=None):
        self.batches.append(Batch(length, longest, slots, self.used, self.cu_used))
        self.slot[copies] = self.used + np.arange(len(copies))
        self.parts.append((start, mask))
        self.used += slots
        if cu is not None:
            self.cu_parts.append(cu)
            self.cu_used += len(cu)

    def add_even(self, order, budget, group):
        """Full even batches of each length; returns the copies left over."""
        left = []
        lengths, begins = np.unique(self.lengths[order], return_index=True)
        for length, copies in zip(lengths.tolist(), np.split(order, begins[1:])):
            slots = budget // length // group(length) * group(length)
            full = len(copies) // slots * slots if slots else 0
            for part in copies[:full].reshape(-1, max(slots, 1)):
                self.add(part, slots, length, 0, self.starts[part], self.place[part])
            left.append(copies[full:])
        return self.join(left)

    def add_packed(self, order, budget):
        ends = np.cumsum(self.lengths[order])
        begin = 0
        while begin < len(order):
            used = ends[begin - 1] if begin else 0
            end = int(np.searchsorted(ends, used + budget, side="right"))
            if end == begin:
                raise ValueError(f"a hypothesis is longer than a batch of {budget} tokens")
            self.add_packed_batch(order[begin:end])
            begin = end

    def add_packed_batch(self, copies):
        lengths = self.lengths[copies]
        slots = -(-len(copies) // QUANTUM) * QUANTUM
        spare = slots - len(copies)
        total = int(lengths.sum())
        begins = np.cumsum(lengths) - lengths
        mask, start = self.place[copies], self.starts[copies]
        # a spare slot is empty and begins at `total`: its row and its token are the last copy's
        back = begins[-1] + mask[-1] - total
        start = np.append(start, np.full(spare, start[-1] + mask[-1] - back))
        mask = np.append(mask, np.full(spare, back))
        cu = np.append(begins, np.full(spare + 1, total))
        longest = -(-int(lengths.max()) // 128) * 128
        self.add(copies, slots, 0, longest, start, mask, cu)

    def sums(self, logp):
        """Pseudo-log-likelihood of each hypothesis from the slots' log-probabilities."""
        of_copy = logp[self.slot].astype(np.float64)
        return np.bincount(self.hyp, weights=of_copy, minlength=self.hyps)


def padded(tokens, batch, pad, mask_id):
    """Batches of `batch` copies in the order of the archive, each padded to its longest copy:
    yields ids, attention mask, masked row, target."""
    plan = Plan(tokens, budget=0, lay=False)
    for at in range(0, len(plan.hyp), batch):
        part = slice(at, at + batch)
        length, place = plan.lengths[part, None], plan.place[part]
        columns = np.arange(length.max())
        index = np.minimum(plan.starts[part, None] + columns, len(tokens.flat) - 1)
        ids = np.where(columns < length, tokens.flat[index], pad)
        rows = np.arange(len(ids))
        target = ids[rows, place].copy()
        ids[rows, place] = mask_id
        yield ids, (columns < length).astype(np.int64), place, target
