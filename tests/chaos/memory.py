"""Peak memory does not grow with the archive: 1,000,000 hypotheses against 100,000.

usage: memory.py --program secondpass --random-model random_model --embedded DIR --sample ARCHIVE
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HYPS = 10
VOCAB = 600


def words(number):
    """Six words that look random, so that few hypotheses and few masked copies are equal."""
    drawn = (number + 1) * 0x9E3779B97F4A7C15
    return " ".join(f"w{57 + (drawn >> shift) % 512}" for shift in (8, 17, 26, 35, 44, 53))


def write_archive(path, utts):
    with open(path, "w", encoding="ascii") as out:
        for u in range(utts):
            hyps = ",".join('{"text":"' + words(u * HYPS + k) + '"}' for k in range(HYPS))
            out.write(f'{{"id":"utt-{u}","hyps":[{hyps}]}}\n')


def peak_kib(*command):
    """Runs a command and gives its peak resident memory."""
    child = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"exit {child.returncode}: {' '.join(map(str, command))}")
    return usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "random-model", "embedded", "sample"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([args.random_model, "--layers", "1", "--hidden", "32", "--heads", "2",
                        "--ffn", "64", "--vocab", str(VOCAB), "--positions", "64", "--arch", "mlm",
                        "--dtype", "f32", "--seed", "1", folder / "model"], check=True)
        peaks = {}
        for hyps in (100_000, 1_000_000):
            write_archive(folder / "archive.jsonl", hyps // HYPS)
            peaks[hyps] = peak_kib(args.program, "score", "--model", folder / "model", "--threads",
                                   2, "--out", folder / f"run-{hyps}", folder / "archive.jsonl")
            print(f"{hyps} hypotheses: {peaks[hyps] / 1024:.1f} MiB")
        ratio = peaks[1_000_000] / peaks[100_000]
        if not ratio <= 1.10:
            sys.exit(f"memory grew {ratio:.3f} times with ten times the archive")

        model = sum(file.stat().st_size for file in pathlib.Path(args.embedded).iterdir())
        peak = peak_kib(args.program, "score", "--model", args.embedded, "--threads", 2, "--out",
                        folder / "sample", args.sample) * 1024
        print(f"embedded model: {peak / 2**20:.1f} MiB, {(peak - model) / 2**20:.1f} beyond it")
        if not peak - model < 400e6:
            sys.exit("over 400 MB beyond the model")


if __name__ == "__main__":
    main()
