"""Training runs that are killed, stopped and doubled end in the bytes of an undisturbed run.

usage: training.py CASE --program secondpass --random-model random_model [--kills N] [--seed N]
Needs python3 and nothing else. Each CASE is a function below and a ctest entry."""

import argparse
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

from workload import expect, run_case, wait_until

STEPS = 40
# Members of a step's line that are times.
TIMES = ("seconds", "tokens_per_second")


class Training:
    """Steps so long that an undisturbed run takes at least `seconds` on one thread; checkpoints and
    evaluations fall on different steps."""

    def __init__(self, args, folder, seconds, objective):
        self.args, self.folder, self.objective = args, pathlib.Path(folder), objective
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = self.folder / "model"
        subprocess.run([args.random_model, "--layers", "2", "--hidden", "48", "--heads", "4",
                        "--ffn", "96", "--vocab", "1024", "--positions", "64", "--arch", "mlm",
                        "--dtype", "f32", "--seed", "1", str(self.model)], check=True)
        self.data = self.folder / "data"
        self.write_data()
        self.reference = self.folder / "reference"
        self.step_tokens = 512
        self.whole = 0  # runs that came to their end
        while True:
            shutil.rmtree(self.reference, ignore_errors=True)
            began = time.monotonic()
            done = self.run(self.reference)
            self.seconds = time.monotonic() - began
            expect(done.returncode == 0, f"undisturbed: exit {done.returncode}: {done.stderr}")
            if self.seconds >= seconds:
                break
            self.step_tokens = int(self.step_tokens * min(8.0, 1.3 * seconds / self.seconds)) + 1
        self.files = contents(self.reference)

    def write_data(self):
        rng = random.Random(1)

        def words(n):
            return " ".join(f"w{rng.randrange(58, 1024)}" for _ in range(n))

        with open(self.data, "w", encoding="ascii") as out:
            for u in range(600):
                if self.objective == "mlm":
                    out.write(words(rng.randrange(4, 20)) + "\n")
                    continue
                hyps = [{"text": words(8), "score": -1.0 - k} for k in range(4)]
                out.write(json.dumps({"id": f"u{u}", "ref": hyps[rng.randrange(4)]["text"],
                                      "hyps": hyps}) + "\n")

    def command(self, run, threads=1):
        masks = ["--lookahead", "dynamic:2", "--penalty", "relative-ema"]
        return [self.args.program, "train", "--objective", self.objective, "--model",
                str(self.model), "--data", str(self.data), "--out", str(run), "--steps", str(STEPS),
                "--step-tokens", str(self.step_tokens), "--batch-tokens", "512", "--warmup", "5",
                "--rate", "1e-2", "--holdout-every", "20", "--eval-every", "4", "--save-every", "3",
                "--dtype", "f32", "--threads", str(threads), "--progress", "none",
                *(masks if self.objective == "mlm" else [])]

    def start(self, run, **arguments):
        return subprocess.Popen(self.command(run, **arguments), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, run, **arguments):
        return subprocess.run(self.command(run, **arguments), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=600)

    def begun(self, run, **arguments):
        """A process that has written a checkpoint and goes on."""
        process = self.start(run, **arguments)
        found = wait_until(lambda: any(run.glob("state-*.sptrain")), process)
        expect(found, "the run ended too early to disturb")
        return process

    def check_complete(self, run):
        ours = contents(run)
        expect(sorted(ours) == sorted(self.files),
               f"files: {sorted(ours)} instead of {sorted(self.files)}")
        for name, data in self.files.items():
            expect(ours[name] == data, f"{run.name}/{name} has other bytes")

    def finish(self, run, **arguments):
        done = self.run(run, **arguments)
        expect(done.returncode == 0, f"resuming: exit {done.returncode}: {done.stderr}")
        self.check_complete(run)


def without_times(log):
    """steps.jsonl, but for what tells how long a step took."""
    lines = [json.loads(line) for line in log.decode().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def contents(run):
    """Every file of a run by its path; the log without times."""
    files = {str(path.relative_to(run)): path.read_bytes()
             for path in run.rglob("*") if path.is_file()}
    files["steps.jsonl"] = without_times(files["steps.jsonl"])
    return files


def kill(args, folder):
    """SIGKILL at N random moments, each of which finds the program at work; a thread count of its
    own for every life, text with schedulers and lists in turn. There is little to learn, so that
    held-out losses rise and fall, and the best model is not the last."""
    rng = random.Random(args.seed)
    works = [Training(args, pathlib.Path(folder) / name, 1.0, name) for name in ("mlm", "mwer")]
    alive = lives = runs = 0
    while alive < args.kills:
        work = works[lives % len(works)]
        run = work.folder / f"run-{work.whole}"
        lives += 1
        expect(lives <= 4 * args.kills + 20, f"only {alive} of {lives} lives could be killed")
        process = work.start(run, threads=rng.choice((1, 2, 3)))
        try:
            process.wait(timeout=rng.uniform(0.0, work.seconds / 3 + 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
        _, errors = process.communicate()
        if process.returncode == -signal.SIGKILL:
            alive += 1
            continue
        expect(process.returncode == 0, f"life {lives}: exit {process.returncode}: {errors}")
        work.check_complete(run)
        work.whole += 1
    for work in works:
        work.finish(work.folder / f"run-{work.whole}", threads=2)
        runs += work.whole + 1
    print(f"{alive} kills of a working program in {lives} lives; {runs} runs came out whole")


def stop(args, folder):
    """SIGINT and SIGTERM end the program with 130 and a checkpoint; the same command goes on."""
    work = Training(args, folder, 1.0, "mlm")
    for number in (signal.SIGINT, signal.SIGTERM):
        run = work.folder / number.name
        process = work.begun(run)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        expect(process.returncode == 130, f"{number.name}: exit {process.returncode}: {errors}")
        expect("the same command goes on" in errors, f"{number.name}: {errors}")
        expect(not (run / "_SUCCESS").exists(), "_SUCCESS after an interruption")
        left = [path.name for path in run.iterdir() if "tmp" in path.name or path.name == ".lock"]
        expect(not left, f"{number.name}: stays behind: {left}")
        last = without_times((run / "steps.jsonl").read_bytes())[-1]["step"]
        expect((run / f"state-{last:08d}.sptrain").exists(), f"no checkpoint of step {last}")
        work.finish(run, threads=2)


def two_processes(args, folder):
    """The second one is refused with 6 and touches nothing."""
    work = Training(args, folder, 1.0, "mlm")
    run = work.folder / "run"
    first = work.begun(run)
    second = work.run(run)
    _, errors = first.communicate()
    expect(second.returncode == 6, f"the second: exit {second.returncode}: {second.stderr}")
    expect(str(run) in second.stderr, f"no directory in: {second.stderr}")
    expect(first.returncode == 0, f"the first: exit {first.returncode}: {errors}")
    work.check_complete(run)


def harmed(args, folder):
    """The newest checkpoint is cut: the one before it is taken, with a word, to the same bytes."""
    work = Training(args, folder, 1.0, "mlm")
    run = work.folder / "run"
    process = work.begun(run)
    wait_until(lambda: len(list(run.glob("state-*.sptrain"))) > 1, process)
    process.kill()
    process.communicate()
    newest = max(run.glob("state-*.sptrain"))
    newest.write_bytes(newest.read_bytes()[:-9])
    done = work.run(run)
    expect(done.returncode == 0, f"resuming: exit {done.returncode}: {done.stderr}")
    expect(newest.name in done.stderr, f"{newest.name} is not named: {done.stderr}")
    work.check_complete(run)


CASES = {f.__name__: f for f in (kill, stop, two_processes, harmed)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--program", required=True)
    parser.add_argument("--random-model", required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    return run_case(CASES[args.case], args, "training")


if __name__ == "__main__":
    sys.exit(main())
