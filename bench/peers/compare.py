"""Measures secondpass and its peers in one run, interleaved, on the same shapes and threads.

Each engine is a process that waits while another one is measured. A measurement is copies a second
at 24 tokens, or over the real length mix, lists taken evenly from the sample archive: secondpass
scores them as they come; for a peer their masked copies are cut into equal groups by length, each
group is measured at its mean length, and the times add up.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

import shapes

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BATCHES = (16, 64, 256)
HYPS = 64  # of ours at 24 tokens: 1,408 copies, about as many as the archive's sample has


class Peer:
    """A worker process of ort_peer.py or torch_peer.py, with the batch size that suits it best."""

    def __init__(self, name, arguments, log):
        self.name, self.best, self.log = name, None, log
        with open(log, "w") as stderr:
            self.process = subprocess.Popen([sys.executable, *map(str, arguments)], text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=stderr, cwd=HERE)

    def ask(self, **request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit(f"{self.name} ended early (exit {self.process.wait()}): see {self.log}")
        return json.loads(answer)

    def tune(self, seconds):
        rates = {b: self.ask(length=24, batch=b, seconds=seconds)["copies_per_s"] for b in BATCHES}
        self.best = max(rates, key=rates.get)

    def rate(self, length, seconds):
        batch = max(1, round(self.best * 24 / length))
        return self.ask(length=length, batch=batch, seconds=seconds)["copies_per_s"]

    def mix(self, mix, seconds):
        return 1.0 / sum(share / self.rate(length, seconds / len(mix)) for length, share in mix)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """`secondpass bench engine`; one call scores its workload at least four times and gives the
    median. The mix is the archive itself, packed as it comes."""

    def __init__(self, name, program, model, dtype, threads, archive):
        self.name, self.best, self.archive = name, None, archive
        self.command = [program, "bench", "engine", "--model", model, "--dtype", dtype,
                        "--threads", threads, "--json", "--scoring-only", "--seconds", "1"]

    def bench(self, *workload):
        command = [*map(str, self.command), *map(str, workload)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)["copies_per_s"]

    def tune(self, seconds):
        pass

    def rate(self, length, seconds):
        return self.bench("--length", length, "--hyps", HYPS)

    def mix(self, mix, seconds):
        return self.bench(self.archive)

    def close(self):
        pass


def engines(args, name, model):
    out = []
    if not args.peers_only:
        out += [Ours(f"secondpass {d}", args.program, model, d, args.threads, args.sample)
                for d in ("bf16", "f32")]
    out += [Peer(f"ONNX Runtime {kind}", [HERE / "ort_peer.py", model, name, kind, args.threads],
                 model / f"ort-{kind}.log")
            for kind in ("fp32", "int8")]
    modes = ["eager"] if args.no_compile else ["eager", "compiled"]
    out += [Peer(f"PyTorch bf16 {mode}",
                 [HERE / "torch_peer.py", model, name, "bf16", mode, args.threads],
                 model / f"torch-{mode}.log")
            for mode in modes]
    return out


def check_parity(peers):
    """Nobody is timed before all give the same log-probabilities, each within its precision."""
    reference = None
    for peer in peers:
        if isinstance(peer, Peer):
            scores = peer.ask(length=24, batch=16, scores=True)["scores"]
            reference = reference or scores  # the first is ONNX Runtime in fp32
            worst = max(abs(a - b) for a, b in zip(scores, reference))
            if not worst <= 0.1:
                raise SystemExit(f"{peer.name} differs by {worst} from ONNX Runtime fp32")


def measure_shape(args, name, mix):
    model = args.work / name
    if not (model / "model.safetensors").exists():
        shapes.write_model(model, shapes.SHAPES[name], args.vocab)
    running = engines(args, name, model)
    check_parity(running)
    for engine in running:
        print(f"{name}: tuning {engine.name}", file=sys.stderr)
        engine.tune(args.seconds / 2)
    rates = {engine.name: {"24": [], "mix": []} for engine in running}
    for turn in range(args.rounds):
        for engine in running:
            if turn > 0 and engine.name == "secondpass f32":
                continue  # the slowest by far, and only for the record
            print(f"{name}: round {turn + 1} {engine.name}", file=sys.stderr)
            rates[engine.name]["24"].append(engine.rate(24, args.seconds))
            rates[engine.name]["mix"].append(engine.mix(mix, args.seconds))
    batches = {engine.name: engine.best for engine in running}
    for engine in running:
        engine.close()
    return {"rates": rates, "best_batch_at_24": batches}


def cpu_model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def cpu_features():
    flags = set(open("/proc/cpuinfo").read().split())
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return [flag for flag in wanted if flag in flags]


def versions(args):
    out = {n: importlib.metadata.version(n) for n in ("onnxruntime", "torch", "numpy")}
    if not args.peers_only:
        asked = subprocess.run([args.program, "--version"], stdout=subprocess.PIPE, text=True)
        out["secondpass"] = asked.stdout.splitlines()[0].removeprefix("secondpass ")
    return out


def ratio(ours, theirs):
    return statistics.median(a / b for a, b in zip(ours, theirs))  # as many as both have


def table(results):
    """Markdown: a row an engine; the ratio is secondpass bf16 over it, median of the rounds."""
    lines = [f"{results['date']}, {results['cpu']} ({' '.join(results['cpu_features'])}), "
             f"{results['threads']} threads, random weights, medians of {results['rounds']} rounds",
             ", ".join(f"{k} {v}" for k, v in results["versions"].items()), "",
             "| shape | engine | copies/s, 24 tokens | ours is | copies/s, real mix | ours is |",
             "|---|---|---|---|---|---|"]
    for shape, result in results["shapes"].items():
        rates = result["rates"]
        ours = rates.get("secondpass bf16")
        for name, rate in rates.items():
            cells = []
            for kind in ("24", "mix"):
                cells.append(f"{statistics.median(rate[kind]):,.0f}")
                cells.append(f"{ratio(ours[kind], rate[kind]):.2f}x" if ours else "-")
            lines.append(f"| {shape} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=str(ROOT / "build/release/secondpass"))
    parser.add_argument("--archive", default=ROOT / "bench/data/dev-clean-200.jsonl.zst")
    parser.add_argument("--vocab", type=pathlib.Path, default=ROOT / "bench/data/model/vocab.txt")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/peers")
    parser.add_argument("--shapes", nargs="+", default=list(shapes.SHAPES))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--peers-only", action="store_true", help="leave secondpass out")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    args.sample = args.work / "sample.jsonl"
    shapes.write_sample(args.archive, args.sample)
    mix = shapes.length_mix(args.sample, args.vocab)
    results = {"date": datetime.date.today().isoformat(), "cpu": cpu_model(),
               "cpu_features": cpu_features(), "threads": args.threads, "rounds": args.rounds,
               "seconds": args.seconds, "versions": versions(args), "length_mix": mix,
               "shapes": {name: measure_shape(args, name, mix) for name in args.shapes}}
    (args.work / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.work / "table.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
