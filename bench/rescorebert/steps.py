"""secondpass called from a bench of many steps, each of which is done once.

A step's result is kept as JSON in OUT/steps/NAME.json; what other settings made is refused.
"""

import json
import pathlib
import subprocess
import sys
import time


class Steps:
    def __init__(self, out, program, settings):
        self.out, self.program = pathlib.Path(out), program
        (self.out / "steps").mkdir(parents=True, exist_ok=True)
        known, text = self.out / "settings.json", json.dumps(settings, indent=1, sort_keys=True) + "\n"
        if known.exists() and known.read_text(encoding="utf-8") != text:
            sys.exit(f"{self.out} was made with other settings: see {known}, or give another --out")
        known.write_text(text, encoding="utf-8")

    def path(self, *names):
        path = self.out.joinpath(*names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def once(self, name, make):
        """make()'s result, a JSON value; or what it was when it was made."""
        kept = self.path("steps", name + ".json")
        if kept.exists():
            return json.loads(kept.read_text(encoding="utf-8"))
        began = time.monotonic()
        result = make()
        write_whole(kept, json.dumps(result) + "\n")
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        return result

    def json(self, *arguments):
        """What the program says with --json; its messages go to OUT/log.txt."""
        command, log = [str(a) for a in (self.program, *arguments, "--json")], self.path("log.txt")
        with open(log, "a", encoding="utf-8") as messages:
            print("+", *command, file=messages, flush=True)
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=messages, check=False)
        if done.returncode:
            last = " ".join(read_lines(log)[-2:])
            sys.exit(f"{' '.join(command)}: exit {done.returncode}: {last}")
        return json.loads(done.stdout)

    def score(self, name, model, method, archive, *more):
        """(run directory, what score said of it). A run that was stopped goes on."""
        run = self.path("runs", name)
        return run, self.once("score-" + name, lambda: self.json(
            "score", "--model", model, "--method", method, "--out", run, "--progress", "none", *more,
            archive))

    def train(self, name, *arguments):
        """The model directory. A run that was stopped goes on."""
        out = self.path("train", name)
        self.once("train-" + name, lambda: self.json("train", "--out", out, *arguments))
        return out / "model"

    def tune(self, name, archives, method, runs):
        """The weight of fewest errors. The runs may be of several models: their scores are joined."""
        scores = self.path("weights", name + ".jsonl")

        def make():
            write_lines(scores, (line for run in runs for line in self.score_lines(run, method)))
            return self.json("tune", "--scores", f"{method}={scores}", "--missing", "null", "--out",
                             self.path("weights", name + ".json"), *archives)
        return self.once("tune-" + name, make)["axes"][0]["weight"]

    def score_lines(self, run, method):
        """Of a run directory, a line a score as `tune` takes them from elsewhere."""
        said = subprocess.run([str(self.program), "cat", str(run)], stdout=subprocess.PIPE, check=True)
        for line in map(json.loads, said.stdout.splitlines()):
            for hyp in line["hyps"]:
                if hyp[method] is not None:
                    yield json.dumps({"id": line["id"], "i": hyp["i"], "value": hyp[method]})

    def rescore(self, name, archive, method, run, weight):
        """The archive in its new order, as a file."""
        best = self.path("rescored", name + ".jsonl")
        self.once("rescore-" + name, lambda: self.json(
            "rescore", "--scores", run, "--weight", f"{method}={weight!r}", "--out", best, archive))
        return best

    def wer(self, name, hyp, *more):
        return self.once("wer-" + name, lambda: self.json("wer", hyp, *more))


def write_whole(path, text):
    """Under its name when all of it is there."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


def write_lines(path, lines):
    write_whole(path, "".join(line.rstrip("\n") + "\n" for line in lines))


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return lines.read().splitlines()


def first_lines(path, count):
    """Of a text file, .zst too."""
    if pathlib.Path(path).suffix == ".zst":
        with subprocess.Popen(["zstd", "-dcq", str(path)], stdout=subprocess.PIPE, text=True,
                              encoding="utf-8") as zstd:
            lines = [line for _, line in zip(range(count), zstd.stdout)]
            zstd.stdout.close()
            zstd.terminate()
        return lines
    with open(path, encoding="utf-8") as file:
        return [line for _, line in zip(range(count), file)]
