"""A PyTorch peer's process: one JSON request a line, one JSON answer a line.

usage: peer.py SETTINGS.json     (of compare.py: what all engines share, and which peer this is)

{"try": {..}, "steps": 4} -> {"tokens_per_second": ..}   with these options of the peer
{"steps": 20}             -> {"tokens": .., "seconds": .., "loss": [..]}   with those taken last

Batches are made before the clock starts.
"""

import json
import pathlib
import sys
import time

import numpy as np
import torch

import packed
import work


class HuggingFace:
    """P0: BertForMaskedLM under bf16 autocast: batches in the order of the data, padded to their
    longest, labels of all positions, -100 where nothing is asked."""

    def __init__(self, settings, options):
        import transformers
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.model = transformers.BertForMaskedLM.from_pretrained(
            settings["model"], dtype=torch.float32, attn_implementation="sdpa").train()
        self.options, self.settings = options, settings
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings["rate"],
                                           weight_decay=0.01, fused=True)

    def batches(self, ids, plan, words, draw):
        s, lengths = self.settings, [len(i) + 2 for i in ids]
        for step in plan:
            yield [self.padded([work.masked(ids[i], words, s["vocab"], s["mask_rate"], (1, 0), draw)
                                for i in batch], words)
                   for batch in work.batches(step, lengths, self.options["batch"])]

    @staticmethod
    def padded(sequences, words):
        longest = max(len(ids) for ids, _, _ in sequences)
        ids = torch.full((len(sequences), longest), words.pad)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for i, (seen, rows, targets) in enumerate(sequences):
            ids[i, :len(seen)] = torch.tensor(seen)
            mask[i, :len(seen)] = 1
            labels[i, torch.tensor(rows)] = torch.tensor(targets)
        return dict(input_ids=ids, attention_mask=mask, labels=labels)

    def step(self, batches):
        total = sum(int((batch["labels"] >= 0).sum()) for batch in batches)
        out = 0.0
        for batch in batches:
            share = int((batch["labels"] >= 0).sum()) / total
            with torch.autocast("cpu", torch.bfloat16):
                loss = self.model(**batch).loss * share
            loss.backward()
            out += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return out


class Packed:
    """P1: packed.py."""

    def __init__(self, settings, options):
        self.options, self.settings = options, settings
        model = packed.Encoder(settings["model"], settings["shape"])
        if options.get("attention") == "plain":
            model.attend = packed.plain_attention
        if options.get("compile"):
            model.compile()
        self.training = packed.Training(model, options["precision"], lambda step: settings["rate"])

    def batches(self, ids, plan, words, draw):
        s = self.settings
        return packed.steps_of(ids, plan, words, s["vocab"], s["mask_rate"], (1, 0),
                               self.options["groups"], self.options["batch"], 1)

    def step(self, batches):
        return self.training.step(batches)


KINDS = {"hf": HuggingFace, "packed": Packed}


def run(peer, settings, data, words, count):
    """A step more than `count`, which does not count."""
    ids, plan = data
    made = list(peer.batches(ids, plan[:count + 1], words, np.random.default_rng(1)))
    peer.step(made[0])
    began = time.perf_counter()
    loss = [peer.step(batches) for batches in made[1:]]
    seconds = time.perf_counter() - began
    tokens = sum(len(ids[i]) + 2 for step in plan[1:count + 1] for i in step)
    return dict(tokens=tokens, seconds=seconds, tokens_per_second=tokens / seconds, loss=loss)


def main():
    settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(1)
    words = work.Words(settings["model"])
    ids = words.ids(pathlib.Path(settings["lines"]).read_text(encoding="utf-8").splitlines())
    plan = work.steps([len(i) + 2 for i in ids], settings["step_tokens"], 1, settings["steps"] + 1)
    peer = None
    for line in sys.stdin:
        ask = json.loads(line)
        if "try" in ask:
            peer = KINDS[settings["kind"]](settings, ask["try"])
        print(json.dumps(run(peer, settings, (ids, plan), words, ask["steps"])), flush=True)


if __name__ == "__main__":
    main()
