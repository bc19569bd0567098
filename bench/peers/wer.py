"""wer.py - hypotheses a second: secondpass, jiwer, sclite. Called by bench/wer.sh."""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import jiwer


def pairs(path):
    """References and hypotheses, one a pair; those with an empty reference are left out."""
    raw = subprocess.run(["zstd", "-qdc", path], check=True, capture_output=True).stdout
    if path.endswith(".jsonl.zst"):
        utts = [json.loads(line) for line in raw.splitlines()]
        lists = [(utt["ref"], [hyp["text"] for hyp in utt["hyps"]]) for utt in utts]
    else:
        lists = [(utt["ref"], [h["text"] for k, h in utt.items() if k.startswith("hyp_")])
                 for utt in json.loads(raw).values()]
    return [(ref, hyp) for ref, hyps in lists if ref.split() for hyp in hyps]


def timed(work, rounds):
    seconds = []
    for _ in range(rounds):
        start = time.process_time() + sum(os.times()[2:4])
        result = work()
        seconds.append(time.process_time() + sum(os.times()[2:4]) - start)
    return statistics.median(seconds), result


def jiwer_errors(refs, hyps):
    out = jiwer.process_words(refs, hyps)
    return out.substitutions + out.deletions + out.insertions


def sclite(folder):
    subprocess.run(["sctk", "sclite", "-r", f"{folder}/ref", "trn", "-h", f"{folder}/hyp", "trn",
                    "-i", "wsj", "-o", "rsum", "stdout"], check=True, capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("archive")
    options = parser.parse_args()
    rows = pairs(options.archive)
    refs, hyps = [ref for ref, _ in rows], [hyp for _, hyp in rows]
    bench = json.loads(subprocess.run([options.program, "bench", "wer", "--json", options.archive],
                                      check=True, capture_output=True, text=True).stdout)
    jiwer_seconds, errors = timed(lambda: jiwer_errors(refs, hyps), options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        for name, texts in (("ref", refs), ("hyp", hyps)):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.writelines(f"{text} (s-{i:07d})\n" for i, text in enumerate(texts))
        sclite_seconds, _ = timed(lambda: sclite(folder), options.rounds)
    if errors != bench["errors"]:
        print(f"jiwer counts {errors} errors, secondpass {bench['errors']}")
    print(f"{len(rows)} hypotheses, {errors} errors; processor time")
    print(f"secondpass, distance  {bench['distance_hyps_per_core_second']:12.0f} hypotheses/s")
    print(f"secondpass, from text {bench['text_hyps_per_core_second']:12.0f} hypotheses/s")
    print(f"jiwer                 {len(rows) / jiwer_seconds:12.0f} hypotheses/s")
    print(f"sclite                {len(rows) / sclite_seconds:12.0f} hypotheses/s")


main()
