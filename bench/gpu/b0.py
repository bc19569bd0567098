"""B0: what a user of transformers writes first. AutoModelForMaskedLM in bf16 with SDPA, eager;
copies in the order of the archive, padded to the longest of their batch; logits of all positions.

It is given its best batch size, and its copies are made by NumPy in one go.
"""

import time

import numpy as np
import torch

import copies
import peer

BATCHES = (64, 256, 1024)


class B0:
    name = "B0"

    def __init__(self, folder, tokenizer, device):
        import transformers
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        began = time.perf_counter()
        self.tokenizer, self.device = tokenizer, device
        self.model = transformers.AutoModelForMaskedLM.from_pretrained(
            folder, dtype=torch.bfloat16, attn_implementation="sdpa").eval().to(device)
        self.batch, self.tried = BATCHES[0], {}
        self.start_seconds = time.perf_counter() - began
        self.block, self.known = {}, {}  # batches; seconds of a pass over them

    def works(self, work):
        return work.name in self.block

    def batches(self, tokens):
        for arrays in copies.padded(tokens, self.batch, self.tokenizer.pad, self.tokenizer.mask):
            yield [torch.from_numpy(a).to(self.device) for a in arrays]

    def score(self, ids, attention_mask, row, target):
        with torch.no_grad():
            logits = self.model(input_ids=ids, attention_mask=attention_mask).logits
            picked = logits[torch.arange(len(ids), device=self.device), row].float()
            return picked.gather(1, target[:, None])[:, 0] - torch.logsumexp(picked, 1)

    def logp(self, tokens, work=None, path=None):
        return np.concatenate([self.score(*b).cpu().numpy() for b in self.batches(tokens)])

    def prepare(self, work, repeats, seconds):
        """Takes the batch size that is quickest on this work's first lists."""
        tokens = self.tokenizer.tokens(work.texts(1))
        for size in BATCHES:
            self.batch = size
            batches = list(self.batches(tokens))
            try:
                tried = peer.rate(lambda: [self.score(*b) for b in batches], tokens.copies, seconds,
                                  self.device)
            except torch.cuda.OutOfMemoryError:
                continue
            self.tried[f"{work.name}, batches of {size}"] = tried["copies_per_s"]
        mine = {size: self.tried.get(f"{work.name}, batches of {size}", 0) for size in BATCHES}
        self.batch = max(mine, key=mine.get)
        tokens = self.tokenizer.tokens(work.texts(max(1, repeats // 4)))
        self.block[work.name] = self.batch, tokens.copies, list(self.batches(tokens))

    def kernel(self, work, seconds):
        _, n_copies, batches = self.block[work.name]
        got = peer.rate(lambda: [self.score(*b) for b in batches], n_copies, seconds, self.device,
                        self.known.get(work.name))
        self.known[work.name] = got["pass_seconds"]
        return got

    def end_to_end(self, work, lists, out):
        self.batch = self.block[work.name][0]
        path = work.archive(lists)
        done, began = 0, time.perf_counter()
        with open(out, "w", encoding="utf-8") as file:
            for ids, texts in peer.read(path, lists, 200):
                tokens = self.tokenizer.tokens([text for hyps in texts for text in hyps])
                plan = copies.Plan(tokens, 0, lay=False)
                sums = np.bincount(plan.hyp, weights=self.logp(tokens), minlength=len(tokens))
                file.writelines(peer.lines(ids, texts, sums, (tokens.length - 2).tolist()))
                done += tokens.copies
        spent = time.perf_counter() - began
        return {"copies_per_s": done / spent, "copies": done, "seconds": spent}

    def facts(self):
        return {"what": "transformers, bf16, SDPA, eager, padded in archive order, all logits",
                "start_seconds": self.start_seconds, "tried": self.tried,
                "chosen": {name: f"batches of {b[0]}" for name, b in self.block.items()}}

    def close(self):
        self.block.clear()
        del self.model
