"""sclite.py - the counts of `secondpass wer` against NIST's sclite, its test against sc_stats.

Each archive's references, first and second hypotheses are written as trn files. The sums of
correct, sub, del, ins and wrong sentences must be sclite's to the word, for both systems, in words
and in characters; segments, mean, deviation and Z of the matched-pair test must be sc_stats'.
"""

import argparse
import glob
import json
import os
import re
import subprocess
import sys
import tempfile


def run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def lists(path):
    """Yields id, reference, texts."""
    raw = subprocess.run(["zstd", "-qdc", path], check=True, capture_output=True).stdout
    if path.endswith(".jsonl.zst"):
        for line in raw.splitlines():
            utt = json.loads(line)
            yield utt["id"], utt["ref"], [hyp["text"] for hyp in utt["hyps"]]
        return
    for name, utt in json.loads(raw).items():
        n = sum(key.startswith("hyp_") for key in utt)
        yield name, utt["ref"], [utt[f"hyp_{k + 1}"]["text"] for k in range(n)]


def ends_in_insertion(ref, hyp):
    """Whether sclite could align the end of hyp as insertions: its last word is not ref's."""
    return ref.split()[-1:] != hyp.split()[-1:]


def write_trn(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{text} ({name})\n" for name, text in rows)


def sclite_sums(folder, hyp, options):
    text = run(["sctk", "sclite", "-r", f"{folder}/ref", "trn", "-h", f"{folder}/{hyp}", "trn",
                "-i", "wsj", "-e", "utf-8", "-o", "rsum", "stdout"] + options)
    row = re.search(r"Sum\s*\|\s*([\d ]+)\|([\d ]+)\|", text)
    utts, ref = row.group(1).split()
    correct, sub, dele, ins, _, wrong = row.group(2).split()
    return [int(x) for x in (utts, ref, correct, sub, dele, ins, wrong)]


def our_sums(result):
    keys = ["ref", "correct", "sub", "del", "ins"]
    return [result["utts"]] + [result[k] for k in keys] + [result["wrong_utts"]]


def ours(program, folder, unit):
    return json.loads(run([program, "wer", "--json", "--unit", unit, "--bootstrap", "1",
                           "--ref", f"{folder}/ref", "--hyp", f"{folder}/h1",
                           "--against", f"{folder}/h2"]))


def check_sums(program, folder, name, unit, options):
    report = ours(program, folder, unit)
    for hyp, result in (("h1", report["result"]), ("h2", report["against"][0])):
        want, got = sclite_sums(folder, hyp, options), our_sums(result)
        if want != got:
            sys.exit(f"{name}, {unit}, {hyp}: sclite {want}, ours {got}")
    print(f"{name}: {unit}s: {want[1]} in the references, all counts equal")


def repair(sgml):
    """Debian's sclite parts the members of a path by line ends; its sc_stats wants , and : there."""
    tokens, out = [], []
    for line in sgml.splitlines():
        if not line.startswith("<"):
            tokens.append(line)
            continue
        if tokens:
            out.append(":".join(",".join(tokens[i:i + 3]) for i in range(0, len(tokens), 3)))
            tokens = []
        out.append(line)
    return "\n".join(out) + "\n"


def check_test(program, folder, name):
    sgml = run(["sctk", "sclite", "-r", f"{folder}/ref", "trn", "-h", f"{folder}/h1", "trn", "h1",
                "-h", f"{folder}/h2", "trn", "h2", "-i", "wsj", "-p"])
    text = run(["sctk", "sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "-"], input=repair(sgml))
    row = re.search(r"# segs: (\d+).*mean: ([-\d.]+).*std dev: ([\d.]+).*Z Stat: ([-\d.]+)", text)
    got = ours(program, folder, "word")["against"][0]["mapsswe"]
    same = int(row.group(1)) == got["segments"]
    for group, key in ((2, "mean"), (3, "deviation"), (4, "z")):
        same &= abs(float(row.group(group)) - got[key]) <= 0.00051
    if not same:
        sys.exit(f"{name}: sc_stats {row.groups()}, ours {got}")
    print(f"{name}: matched pairs: {got['segments']} segments, Z {got['z']:.3f}, equal")


def write_systems(folder, rows):
    for k, file in enumerate(("ref", "h1", "h2")):
        write_trn(f"{folder}/{file}", [(row[0], row[k + 1]) for row in rows])


def check(program, path):
    name = os.path.basename(path)
    rows = [(i, ref, hyps[0], hyps[min(1, len(hyps) - 1)]) for i, ref, hyps in lists(path) if hyps]
    with tempfile.TemporaryDirectory() as folder:
        write_systems(folder, rows)
        check_sums(program, folder, name, "word", [])
        # sc_stats loses the second system's insertions behind the last reference word
        write_systems(folder, [row for row in rows if not ends_in_insertion(row[1], row[3])])
        check_test(program, folder, name)
        write_systems(folder, rows[:100])  # sclite takes minutes for all characters
        check_sums(program, folder, name, "char", ["-c"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--tree", required=True)
    options = parser.parse_args()
    try:
        subprocess.run(["sctk"], capture_output=True)
    except FileNotFoundError:
        print("SKIPPED: no sctk here (Debian package sctk)")
        return
    beside = os.path.join(options.tree, "..", "shared", "data", "nbest")
    folder = os.environ.get("SP_NBEST_DIR", beside)
    paths = sorted(glob.glob(os.path.join(folder, "*.json.zst")))
    for path in paths + [os.path.join(options.tree, "bench/data/dev-clean-200.jsonl.zst")]:
        check(options.program, path)


main()
