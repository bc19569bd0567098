"""Looks for B1's quickest configuration on this device, for one model and one kind of work.

In steps, each keeping the best so far: tokens of a batch; the attention of even batches by length;
even, packed with varlen_attn, packed with FlexAttention; torch.compile and its max-autotune.
Whatever fails, takes too long to compile or gives other scores is left out, with a note in the
results.
"""

import signal
import time
from typing import NamedTuple

import numpy as np
import torch

import attention
import copies
import engine
import peer

# multiples of 128, for tiles, and of 120 = 5 * 24, so that even batches of 24 fill them; the larger
# two are whole waves of 128-row tiles on 132 multiprocessors
BUDGETS = (15360, 32640, 67200, 134400)
LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
APART = 0.5  # two bf16 runs whose log-probabilities differ by more do not compute the same


class Limits(NamedTuple):
    compile: bool = True
    autotune: bool = True
    compile_seconds: float = 180.0  # of one configuration, its graphs and first pass included
    seconds: float = 0.5  # of one trial
    budgets: tuple = BUDGETS


class TimeUp(BaseException):
    """Not an Exception: nobody on the way up may take it for a failure of their own."""


class Deadline:
    def __init__(self, seconds):
        self.seconds = seconds

    def ring(self, number, frame):
        raise TimeUp

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self.ring)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


class Trials:
    """Configurations tried so far, on one workload."""

    def __init__(self, weights, mask_id, tokens, limits):
        self.weights, self.mask_id, self.tokens, self.limits = weights, mask_id, tokens, limits
        self.small = type(tokens)([tokens.flat[s:s + n] for s, n in
                                   zip(tokens.start[::97], tokens.length[::97])])
        self.rates, self.notes, self.expected = {}, {}, None
        self.known = {}  # 0 for what did not work

    def check(self, runner):
        got = runner.logp(self.small)
        if self.expected is None:
            self.expected = got
        worst = float(np.abs(got - self.expected).max())
        if not worst <= APART:
            raise ValueError(f"differs by {worst} nats")

    def measure(self, config):
        """Copies a second; 0 when it does not work."""
        if config not in self.known:
            self.known[config] = self.measure_now(config)
        return self.known[config]

    def measure_now(self, config):
        runner = engine.Engine(self.weights, config, self.mask_id)
        try:
            with Deadline(self.limits.compile_seconds):
                self.check(runner)
                loaded = runner.load(self.tokens)
                runner.run(loaded).cpu()
            rate = peer.rate(lambda: runner.run(loaded).cpu(), loaded.n_copies,
                             self.limits.seconds, self.weights.device)["copies_per_s"]
        except TimeUp:
            self.notes[config.text()] = f"not ready in {self.limits.compile_seconds:.0f} s"
            rate = 0
        except Exception as error:  # one that this device or version cannot do is no failure
            self.notes[config.text()] = f"{type(error).__name__}: {error}"[:300]
            rate = 0
        finally:
            runner.close()
        if rate:
            self.rates[config.text()] = rate
        return rate

    def best(self, configs):
        configs = list(configs)
        rates = [self.measure(config) for config in configs]
        return configs[int(np.argmax(rates))]


def time_attention(weights, kind, length, budget):
    """Seconds of one layer's attention over a batch, nothing else."""
    slots = budget // length // attention.group(length) * attention.group(length)
    batch = copies.Batch(length, 0, slots, 0, 0)
    width = 3 * weights.heads * weights.padded
    qkv = torch.randn(slots * length, width, dtype=weights.dtype, device=weights.device)
    attend = attention.Even(kind, weights, batch)
    reference = attention.Even("any", weights, batch)(qkv) if slots * length < 20000 else None
    got = attend(qkv)
    if reference is not None and not torch.allclose(got.float(), reference.float(), atol=0.05):
        raise ValueError("gives other results")
    times = 20 if qkv.is_cuda else 1
    peer.wait(weights.device)
    began = time.perf_counter()
    for _ in range(times):
        attend(qkv)
    peer.wait(weights.device)
    return (time.perf_counter() - began) / times


def choose_attention(weights, budget, lengths, notes):
    """((from this length on, kind), ..) and the seconds of each kind at each length."""
    steps, seconds = [], {}
    with torch.no_grad():
        for length in lengths:
            seconds[length] = {}
            for kind in attention.EVEN:
                try:
                    time_attention(weights, kind, length, min(budget, 15360))
                    seconds[length][kind] = time_attention(weights, kind, length, budget)
                except Exception as error:
                    notes[f"{kind} at {length}"] = f"{type(error).__name__}: {error}"[:300]
            if seconds[length]:
                steps.append((length, min(seconds[length], key=seconds[length].get)))
    steps = steps or [(0, "any")]
    return ((0, steps[0][1]), *steps[1:]), seconds


def choose(weights, mask_id, tokens, one_length, limits):
    """The quickest configuration, and a record of all that were tried."""
    trials = Trials(weights, mask_id, tokens, limits)
    on_gpu = weights.device.type == "cuda"
    longest = int(tokens.length.max())
    first = engine.Config(graphs=on_gpu, packed="varlen" if on_gpu else "dense",
                          dynamic=not one_length, attend=((0, "flash" if on_gpu else "any"),))
    budgets = [b for b in limits.budgets if b >= longest]
    config = trials.best(first._replace(budget=b) for b in budgets)
    lengths = [24] if one_length else [n for n in LENGTHS if n <= max(longest, LENGTHS[0])]
    steps, seconds = choose_attention(weights, config.budget, lengths, trials.notes)
    even = config._replace(attend=steps)
    candidates = [even]
    if on_gpu:  # packed batches are all of one size
        candidates += [config._replace(even=False, packed=kind, dynamic=False)
                       for kind in attention.PACKED]
    ranked = sorted(candidates, key=trials.measure, reverse=True)
    config = ranked[0]
    if limits.compile:
        compiled = [c._replace(compile="default") for c in ranked[:2]]
        best = max(compiled, key=trials.measure)
        smaller = [b for b in budgets if b < best.budget][-1:]
        tried = [config, *compiled, *(best._replace(budget=b) for b in smaller)]
        config = max(tried, key=trials.measure)
        if limits.autotune:
            tried = config, config._replace(compile="max-autotune-no-cudagraphs")
            config = max(tried, key=trials.measure)
    if not trials.measure(config):
        raise SystemExit(f"gpu.sh: no PyTorch configuration works here: {trials.notes}")
    record = {"copies_per_s": trials.rates, "left_out": trials.notes,
              "attention_seconds": {str(n): kinds for n, kinds in seconds.items()}}
    return config, record
