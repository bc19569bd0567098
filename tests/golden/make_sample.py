#!/usr/bin/env python3
"""Writes a sample of an mlm-scoring JSON (.zst) archive as an own archive (.jsonl.zst).

    make_sample.py dev-clean.json.zst dev-clean-200.jsonl.zst [--count 200] [--repeat 1]

The utterances are spread evenly over the sorted ids; references, scores and texts stay as they are.
--count 0 takes all; --repeat N writes everything N times under new ids, for benchmarks.
"""
import argparse
import json

import zstandard


def spread(items, count):
    if count == 0 or count >= len(items):
        return items
    return [items[k * len(items) // count] for k in range(count)]


def line_of(utt_id, entry):
    ranks = sorted(int(key[4:]) for key in entry if key.startswith("hyp_"))
    hyps = [{"text": entry[f"hyp_{k}"]["text"], "score": entry[f"hyp_{k}"]["score"]} for k in ranks]
    line = {"id": utt_id, "ref": entry["ref"], "hyps": hyps}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    with zstandard.open(options.source, "rt", encoding="utf-8") as source:
        chosen = spread(sorted(json.load(source).items()), options.count)
    lines = []
    for turn in range(options.repeat):
        suffix = f"-{turn}" if turn else ""
        lines += [line_of(utt_id + suffix, entry) for utt_id, entry in chosen]
    raw = "".join(lines).encode("utf-8")
    with open(options.target, "wb") as target:
        target.write(zstandard.ZstdCompressor(level=19).compress(raw))
    print(f"{options.target}: {len(lines)} utterances, {len(raw)} bytes")


if __name__ == "__main__":
    main()
