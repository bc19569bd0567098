"""Measures secondpass and PyTorch on one GPU; bench/gpu.sh says how to call it."""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

NO_DEVICE = 5

try:
    import torch
except ImportError:
    print("gpu.sh: this Python has no PyTorch, so there is no GPU to be measured with it",
          file=sys.stderr)
    sys.exit(NO_DEVICE)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ROOT / "build/gpu"  # models and scratch files, wherever the results go
MEASURES = ("kernel", "e2e", "idle", "masks", "products")
# hypotheses of a pass in blocks of 2,000: some seconds of work, whatever the model
BLOCKS = {"base": 4, "teacher": 2, "4x512": 12, "4x312": 24, "tiny": 1}


def say(message):
    print(f"{datetime.datetime.now():%H:%M:%S} {message}", file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/gpu.sh", description=__doc__)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=KEPT)
    parser.add_argument("--only", default="base,teacher,4x512,4x312", help="shapes (%(default)s)")
    parser.add_argument("--work", default="24,mix", help="fixed 24 tokens, real lengths")
    parser.add_argument("--measure", default=",".join(MEASURES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one measurement")
    parser.add_argument("--idle-seconds", type=float, default=60.0,
                        help="of the run that is watched")
    parser.add_argument("--quick", action="store_true", help="3 repeats of 2 s, watched for 10 s")
    parser.add_argument("--peers-only", action="store_true", help="leave secondpass out")
    parser.add_argument("--ours-only", action="store_true", help="leave the peers' timing out")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--compile-seconds", type=float, default=180.0,
                        help="longest wait for one compiled variant (%(default)s)")
    parser.add_argument("--trim", action="store_true",
                        help="also B1 with the last layer at masked rows only")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"],
                        help="cpu: for the self-test, with --only tiny")
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.seconds, args.idle_seconds = 3, 2.0, 10.0
    args.only, args.work = args.only.split(","), args.work.split(",")
    args.measure = args.measure.split(",")
    known = {"only": BLOCKS, "work": ("24", "mix"), "measure": MEASURES}
    for name, names in known.items():
        for wrong in set(getattr(args, name)) - set(names):
            parser.error(f"--{name}: '{wrong}' is not one of {', '.join(names)}")
    return args


def commit():
    if os.environ.get("SP_COMMIT"):
        return os.environ["SP_COMMIT"]
    try:
        done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], text=True, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


class Results:
    """results.json and table.md; what an earlier run measured stays, unless it is measured anew."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "results.json"
        self.data = {"schema": 1, "runs": [], "shapes": {}}
        if self.path.exists():
            self.data = json.loads(self.path.read_text())

    def shape(self, name):
        return self.data["shapes"].setdefault(name, {"work": {}})

    def keep(self, name, work, measure, value):
        entry = self.shape(name)["work"].setdefault(work, {})
        entry[measure] = value
        entry.setdefault("run", {})[measure] = len(self.data["runs"]) - 1
        self.save()

    def save(self):
        import report
        for path, text in ((self.path, json.dumps(self.data, indent=1) + "\n"),
                           (self.folder / "table.md", report.markdown(self.data))):
            new = path.with_suffix(".new")
            new.write_text(text)
            new.rename(path)


class Session:
    """One model: its engines, gated and measured."""

    def __init__(self, args, name, works, program, results, scratch):
        import b0
        import b1
        import ours
        import tune
        import work
        self.args, self.name, self.works = args, name, works
        self.results, self.scratch = results, scratch
        self.device = torch.device(args.device)
        self.folder = work.model(KEPT / "models", name)
        self.tokenizer = work.Tokenizer(self.folder)
        on_gpu = args.device == "cuda"
        limits = tune.Limits(compile=on_gpu and not args.no_compile,
                             compile_seconds=args.compile_seconds,
                             seconds=0.5 if on_gpu else 0.01,
                             budgets=tune.BUDGETS if on_gpu else (960,))
        self.b0 = b0.B0(self.folder, self.tokenizer, self.device)
        self.b1 = None if args.ours_only else b1.B1(
            self.folder, work.SHAPES[name], self.tokenizer, self.device, limits)
        self.ours = program and ours.Ours(
            program, self.folder, "cuda:0" if on_gpu else "cpu", scratch)
        self.timed = [p for p in (self.ours, None if args.ours_only else self.b0, self.b1) if p]

    def prepare(self):
        for work in self.works:
            for peer in filter(None, (self.b0, self.b1, self.ours)):
                say(f"{self.name}, {work.name}: preparing {peer.name}")
                peer.prepare(work, BLOCKS[self.name], self.args.seconds / 10)
            if self.args.trim and self.b1:
                self.timed.append(self.b1.trimmed(work))

    def gate(self):
        """Whether all engines pass, each as it was tuned, on the first lists of a work."""
        import parity
        passed = True
        for work in self.works:
            say(f"{self.name}, {work.name}: parity")
            lists = work.variants[0][::max(1, work.lists // parity.LISTS)]
            peers = [p for p in (self.b0, self.b1, self.ours) if p]
            record = parity.gate(self.folder, lists, self.tokenizer, self.device, self.scratch,
                                 work, peers)
            self.results.shape(self.name).setdefault("parity", {})[work.name] = record
            self.results.save()
            for engine, failed in record["failed"].items():
                say(f"{self.name}, {work.name}: {engine} fails: {'; '.join(failed)}")
            passed = passed and not record["failed"]
        return passed

    def rounds(self, work, measure, one):
        """`one(peer)` for every engine in turn, `repeats` times."""
        got = {}
        for turn in range(self.args.repeats):
            for peer in self.timed:
                if peer.works(work):
                    got.setdefault(peer.name, []).append(one(peer))
                    say(f"{self.name}, {work.name}, {measure} {turn + 1}: {peer.name} "
                        f"{got[peer.name][-1]['copies_per_s']:,.0f} copies/s")
        self.results.keep(self.name, work.name, measure, got)

    def lists_for(self, peer, work, seconds):
        """How many lists keep an engine busy that long from file to file."""
        lists = work.lists * max(1, BLOCKS[self.name] // 4)
        for _ in range(2):
            got = peer.end_to_end(work, lists, self.scratch / "scores")
            spent = got["seconds"] if got["seconds"] > seconds / 4 else got.get("wall_seconds",
                                                                                got["seconds"])
            if spent >= 0.8 * seconds:
                break
            lists = max(lists, math.ceil(lists * seconds / spent))
        return lists

    def measure(self, work):
        args = self.args
        if "kernel" in args.measure:
            self.rounds(work, "kernel", lambda peer: peer.kernel(work, args.seconds))
        if "e2e" in args.measure:
            lists = {p.name: self.lists_for(p, work, args.seconds) for p in self.timed
                     if p.works(work)}
            self.rounds(work, "end_to_end", lambda peer: peer.end_to_end(
                work, lists[peer.name], self.scratch / "scores"))
        if "idle" in args.measure and work.name == "mix" and self.ours:
            say(f"{self.name}, {work.name}: watching the GPU")
            lists = self.lists_for(self.ours, work, min(10.0, args.idle_seconds))
            lists = math.ceil(lists * args.idle_seconds / min(10.0, args.idle_seconds))
            self.results.keep(self.name, work.name, "idle", self.ours.idle(work, lists))
        if "masks" in args.measure and self.ours:
            say(f"{self.name}, {work.name}: masks")
            self.results.keep(self.name, work.name, "masks", self.ours.masks(work))

    def close(self):
        shape = self.results.shape(self.name)
        shape.setdefault("engines", {}).update({p.name: p.facts() for p in self.timed})
        self.results.save()
        for peer in filter(None, (self.b0, self.b1)):
            peer.close()
        if self.args.device == "cuda":
            torch.cuda.empty_cache()


def run_facts(args, program):
    import device
    import ours
    facts = {"date": f"{datetime.datetime.now():%Y-%m-%d %H:%M}", "commit": commit(),
             "version": None, "device": device.facts(torch.device(args.device)),
             "processors": len(os.sched_getaffinity(0)), "repeats": args.repeats,
             "seconds": args.seconds, "arguments": sys.argv[1:],
             "versions": {n: importlib.metadata.version(n) for n in ("torch", "transformers")}}
    if program:
        facts["version"] = subprocess.run(
            [str(program), "--version"], stdout=subprocess.PIPE, text=True, check=True,
            env=ours.environment(program)).stdout.splitlines()[0].removeprefix("secondpass ")
    say("the device's own rates")
    facts["limits"] = device.limits(torch.device(args.device))
    return facts


def run(args, program):
    import ours
    import work
    for folder in (args.out, KEPT):
        folder.mkdir(parents=True, exist_ok=True)
    results, failed = Results(args.out), []
    results.data["runs"].append(run_facts(args, program))
    lists = work.sample(program)
    if args.device == "cpu":
        torch.set_num_threads(1)  # the work is tiny
        lists = [texts[:4] for texts in lists[:8:4]]
    with tempfile.TemporaryDirectory(dir=KEPT) as scratch:
        scratch = pathlib.Path(scratch)
        works = [work.Work(name, scratch, lists) for name in args.work]
        for name in args.only:
            session = Session(args, name, works, program, results, scratch)
            session.prepare()
            if session.gate():
                for one in works:
                    session.measure(one)
            else:
                failed.append(name)
            session.close()
        if "products" in args.measure and program and args.device == "cuda":
            say("products, ours and the best of each size")
            results.data["products"] = ours.products(program)
            results.save()
    print((args.out / "table.md").read_text())
    if failed:
        say(f"not measured, since the parity gate failed: {', '.join(failed)}")
    return 1 if failed else 0


def main():
    args = arguments()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("gpu.sh: no usable CUDA device here; this measures a GPU", file=sys.stderr)
        return NO_DEVICE
    import ours
    program = None if args.peers_only else ours.find(ROOT)
    if program is None and not args.peers_only:
        print(f"gpu.sh: no program at {' or '.join(ours.PLACES)}: build it (cmake --preset "
              "portable), name one in $SP_PROGRAM or give --peers-only", file=sys.stderr)
        return 2
    return run(args, program)


if __name__ == "__main__":
    sys.exit(main())
