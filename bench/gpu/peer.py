"""What both PyTorch peers share: the timing of a pass, and files in, files out."""

import json
import math
import queue
import threading
import time

import torch

MOST = 2000  # lists of a piece of the archive that is tokenized and planned at once


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def piece(lists):
    """Lists of a piece: eight pieces at least, so that their steps overlap."""
    return min(MOST, max(100, lists // 8))


def rate(run, n_copies, seconds, device, pass_seconds=None):
    """Runs `run` for at least `seconds`; a first pass, not timed, finds out how often, where it is
    not known."""
    if pass_seconds is None:
        wait(device)
        began = time.perf_counter()
        run()
        wait(device)
        pass_seconds = time.perf_counter() - began
    passes = max(1, math.ceil(seconds / pass_seconds))
    wait(device)
    began = time.perf_counter()
    for _ in range(passes):
        run()
    wait(device)
    spent = time.perf_counter() - began
    return {"copies_per_s": n_copies * passes / spent, "copies": n_copies * passes,
            "seconds": spent, "pass_seconds": spent / passes}


def read(path, lists, size):
    """Pieces of the first `lists` lists of an archive: ([id, ..], [[text, ..], ..])."""
    ids, texts = [], []
    with open(path, encoding="utf-8") as file:
        for _, line in zip(range(lists), file):
            one = json.loads(line)
            ids.append(one["id"])
            texts.append([hyp["text"] for hyp in one["hyps"]])
            if len(ids) == size:
                yield ids, texts
                ids, texts = [], []
    if ids:
        yield ids, texts


def lines(ids, texts, sums, counts):
    """Score lines of a piece, as secondpass writes them."""
    at = 0
    for name, hyps in zip(ids, texts):
        fields = ",".join(f'{{"i":{i},"pll":{sums[at + i]:.6f},"n":{counts[at + i]}}}'
                          for i in range(len(hyps)))
        yield f'{{"id":"{name}","hyps":[{fields}]}}\n'
        at += len(hyps)


class Stage(threading.Thread):
    """A thread that makes or takes items; what it raises is raised again where it is joined."""

    def __init__(self, work, room=2):
        super().__init__(daemon=True)
        self.work, self.items, self.error = work, queue.Queue(room), None

    def run(self):
        try:
            self.work(self.items)
        except BaseException as error:
            self.error = error
            self.items.put(None)

    def end(self):
        self.join()
        if self.error:
            raise self.error
