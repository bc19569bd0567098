"""The loop that every peer's process runs: one JSON request a line, one JSON answer a line.

{"length": 24, "batch": 64, "seconds": 4}  ->  {"copies_per_s": 57.1}
{"length": 24, "batch": 4, "scores": true} ->  {"scores": [..]}: log-probabilities, to compare peers
"""

import json
import sys
import time

import shapes


def serve(shape, run):
    """`run(ids, row, target)` returns the log-probability of each copy's masked token."""
    warm = set()
    for line in sys.stdin:
        ask = json.loads(line)
        batch = shapes.copies(shape, ask["length"], ask["batch"])
        if ask.get("scores"):
            answer = {"scores": [float(x) for x in run(*batch)]}
        else:
            answer = {"copies_per_s": measure(run, batch, ask, warm)}
        print(json.dumps(answer), flush=True)


def measure(run, batch, ask, warm):
    key = (ask["length"], ask["batch"])
    if key not in warm:
        run(*batch)
        warm.add(key)
    done, began = 0, time.perf_counter()
    while True:
        run(*batch)
        done += ask["batch"]
        seconds = time.perf_counter() - began
        if seconds >= ask["seconds"]:
            return done / seconds
