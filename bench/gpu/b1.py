"""B1 as a peer: a tuned engine for each kind of work, and a pipeline from file to file.

Reading, tokenizing and planning run in one thread, formatting and writing in another; the GPU
always has the next piece queued before the scores of the last one are fetched.
"""

import copy
import time

import torch

import encoder
import engine
import peer
import tune
from work import Tokens


class B1:
    name = "B1"

    def __init__(self, folder, shape, tokenizer, device, limits):
        began = time.perf_counter()
        self.tokenizer, self.device, self.limits = tokenizer, device, limits
        self.weights = encoder.Weights(folder, shape, torch.bfloat16, device)
        self.start_seconds = time.perf_counter() - began
        self.engines, self.blocks, self.tried, self.tuning = {}, {}, {}, {}
        self.known = {}  # seconds of a pass

    def prepare(self, work, repeats, seconds):
        began = time.perf_counter()
        tokens = self.tokenizer.tokens(work.texts(repeats))
        config, self.tried[work.name] = tune.choose(
            self.weights, self.tokenizer.mask, self.probe(work, repeats), work.name == "24",
            self.limits)
        if config.compile == "default":  # where autotuning lost once, it is not tried again
            self.limits = self.limits._replace(autotune=False)
        self.engines[work.name] = engine.Engine(self.weights, config, self.tokenizer.mask)
        self.blocks[work.name] = self.engines[work.name].load(tokens)
        self.tuning[work.name] = time.perf_counter() - began

    def probe(self, work, repeats):
        """What trials run on: of the mix every eighth length, all of it, so that even batches are
        as full as in long runs."""
        if work.name == "24" or self.device.type != "cuda":
            return self.tokenizer.tokens(work.texts(max(1, repeats // 4)))
        ids = self.tokenizer.ids(work.texts(2 * repeats))
        return Tokens([one for one in ids if len(one) % 8 == 4])

    def trimmed(self, work):
        """The same for one kind of work, the last layer at masked rows only."""
        other = copy.copy(self)
        other.name, other.known = "B1+trim", {}
        config = self.engines[work.name].config._replace(trim=True)
        other.engines = {work.name: engine.Engine(self.weights, config, self.tokenizer.mask)}
        return other

    def works(self, work):
        return work.name in self.engines

    def logp(self, tokens, work, path=None):
        return self.engines[work.name].logp(tokens)

    def kernel(self, work, seconds):
        runner, block = self.engines[work.name], self.blocks[work.name]
        got = peer.rate(lambda: runner.run(block).cpu(), block.n_copies, seconds, self.device,
                        self.known.get(work.name))
        self.known[work.name] = got["pass_seconds"]
        return got

    def end_to_end(self, work, lists, out):
        runner = self.engines[work.name]
        path = work.archive(lists)
        began = time.perf_counter()
        reader = peer.Stage(lambda items: self.read(path, lists, runner, items))
        writer = peer.Stage(lambda items: self.write(out, items))
        reader.start(), writer.start()
        done, last = 0, None
        while (piece := reader.items.get()) is not None:
            done += piece[2].copies
            now = piece, self.fetch(runner.run(engine.Loaded(piece[2], piece[3], self.device)))
            if last:
                writer.items.put(last)
            last = now
        writer.items.put(last)
        writer.items.put(None)
        reader.end(), writer.end()
        spent = time.perf_counter() - began
        return {"copies_per_s": done / spent, "copies": done, "seconds": spent}

    def read(self, path, lists, runner, items):
        for ids, texts in peer.read(path, lists, peer.piece(lists)):
            tokens = self.tokenizer.tokens([text for hyps in texts for text in hyps])
            items.put((ids, texts, tokens, runner.plan(tokens)))
        items.put(None)

    def fetch(self, scores):
        """Scores on their way to the host, and what tells that they are there."""
        if self.device.type != "cuda":
            return scores, None
        host = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
        host.copy_(scores, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return host, event

    @staticmethod
    def write(out, items):
        with open(out, "w", encoding="utf-8") as file:
            while (item := items.get()) is not None:
                (ids, texts, tokens, plan), (scores, event) = item
                if event:
                    event.synchronize()
                sums = plan.sums(scores.numpy()).tolist()
                file.writelines(peer.lines(ids, texts, sums, (tokens.length - 2).tolist()))

    def facts(self):
        return {"what": "PyTorch at its best: no padding, one QKV product, head at masked rows",
                "start_seconds": self.start_seconds, "tuning_seconds": self.tuning,
                "tried": self.tried,
                "chosen": {name: e.config.text() for name, e in self.engines.items()}}

    def close(self):
        for runner in self.engines.values():
            runner.close()
        self.engines.clear(), self.blocks.clear()
        engine.Functions.forget()
        del self.weights
