"""A run to disturb: a model, a 16-shard archive, the program, and what an undisturbed run gives.
Checks of a run compare it with that one: RunChecks. A script runs one of its cases: run_case."""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

SHARDS = 16
HYPS = 5
WORDS = 18
VOCAB = 4096


class Failure(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


def run_case(case, args, script):
    """A case in a folder of its own; the exit code."""
    with tempfile.TemporaryDirectory(prefix=f"sp-{script}-") as folder:
        try:
            case(args, folder)
        except Failure as failure:
            print(f"{args.case}: {failure}", file=sys.stderr)
            return 1
    return 0


def write_archive(path, utts, seed=1):
    rng = random.Random(seed)
    with open(path, "w", encoding="ascii") as out:
        for u in range(utts):
            hyps = [{"text": " ".join(f"w{rng.randrange(58, VOCAB)}" for _ in range(WORDS)),
                     "score": -1.0 - k} for k in range(HYPS)]
            out.write(json.dumps({"id": f"utt-{u:06d}", "hyps": hyps}) + "\n")


class RunChecks:
    """Of whoever has a program, a finished run as `reference` and its shards' bytes as `files`."""

    def check_marked(self, run):
        """Whatever happened: a shard that is marked done has the bytes of the undisturbed run."""
        success = (run / "_SUCCESS").exists()  # looked at first: others may be at work
        marked = sorted(path.name for path in run.glob("*.done")) if run.exists() else []
        for name in marked:
            shard = name.removesuffix(".done") + ".jsonl.zst"
            expect((run / shard).exists(), f"{name} without its shard")
            expect((run / shard).read_bytes() == self.files[shard], f"{shard} has other bytes")
            expect((run / name).read_bytes() == (self.reference / name).read_bytes(),
                   f"{name} has other bytes")
        if success:
            expect(len(marked) == len(self.files), "_SUCCESS beside unfinished shards")
        return len(marked)

    def check_complete(self, run):
        self.check_marked(run)
        expect(shard_files(run) == self.files, "the shards' bytes differ")
        expect((run / "_SUCCESS").exists(), "no _SUCCESS")
        left = names(run) - names(self.reference) - {"plan.jsonl.zst"}
        expect(not left, f"files stay behind: {sorted(left)}")
        done = subprocess.run([self.program, "verify", str(run)], capture_output=True, text=True)
        expect(done.returncode == 0, f"verify: exit {done.returncode}: {done.stderr}")


class Workload(RunChecks):
    """Made so large that an undisturbed run takes at least `seconds` of a processor, so that a kill
    meets it in the middle on any machine and under any sanitizer."""

    def __init__(self, args, folder, seconds, options=(), utts_a_shard=2):
        self.program, self.random_model = args.program, args.random_model
        self.folder, self.options = pathlib.Path(folder), list(options)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.archive = self.folder / "archive.jsonl"
        self.model = self.make_model("model", 1)
        self.reference = self.folder / "reference"
        self.utts_a_shard = utts_a_shard
        while True:
            write_archive(self.archive, SHARDS * self.utts_a_shard)
            self.seconds = self.measure()
            if self.seconds >= seconds:
                break
            growth = min(8.0, 1.3 * seconds / max(self.seconds, 0.01))
            self.utts_a_shard = max(self.utts_a_shard + 1, int(self.utts_a_shard * growth))
        self.files = shard_files(self.reference)
        expect(len(self.files) == SHARDS, f"{len(self.files)} shards instead of {SHARDS}")

    def make_model(self, name, seed):
        path = self.folder / name
        subprocess.run([self.random_model, "--layers", "2", "--hidden", "64", "--heads", "4",
                        "--ffn", "128", "--vocab", str(VOCAB), "--positions", "192",
                        "--arch", "mlm", "--dtype", "f32", "--seed", str(seed), str(path)],
                       check=True)
        return path

    def measure(self):
        if self.reference.exists():
            for file in self.reference.iterdir():
                file.unlink()
        began = os.times().children_user
        done = self.run(self.reference, threads=1)
        expect(done.returncode == 0, f"the undisturbed run: exit {done.returncode}: {done.stderr}")
        return os.times().children_user - began

    def command(self, run, threads=1, model=None, archives=None, options=None, shard_utts=None):
        return [self.program, "score", "--model", str(model or self.model), "--method", "pll",
                "--out", str(run), "--shard-utts", str(shard_utts or self.utts_a_shard),
                "--threads", str(threads), *(self.options if options is None else options),
                *map(str, archives or [self.archive])]

    def start(self, run, **arguments):
        return subprocess.Popen(self.command(run, **arguments), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, run, **arguments):
        """To its end; the result has returncode, stdout and stderr."""
        return subprocess.run(self.command(run, **arguments), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=600)

    def finish(self, run, **arguments):
        """Runs again with nothing in the way; the bytes must be those of the undisturbed run."""
        done = self.run(run, **arguments)
        expect(done.returncode == 0, f"resuming: exit {done.returncode}: {done.stderr}")
        self.check_complete(run)


def names(run):
    return {path.name for path in run.iterdir()}


def shard_files(run):
    return {path.name: path.read_bytes() for path in sorted(run.glob("scores-*.jsonl.zst"))}


def wait_until(condition, process, seconds=60.0):
    """True once the condition holds while the process lives; False when the process ended first."""
    limit = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        expect(time.monotonic() < limit, "waited in vain")
        time.sleep(0.002)
    return process.poll() is None
