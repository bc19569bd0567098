"""Tokens a second of mlm training: secondpass and two PyTorch programs, interleaved in one run.
Called by bench/train.sh.

All take the same weights, the same samples of text in steps of about the same tokens, clip, and step
AdamW. A round is `--steps` steps of each, after one that does not count; tokens are those of the text,
padding never counts. A peer takes the options that were quickest in a short trial of each.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import work

HERE = pathlib.Path(__file__).resolve().parent
RATE, MASK_RATE = 1e-4, 0.2
# glibc gives large blocks back at once and PyTorch faults them in again: kept, it is a third faster.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
OURS, STOCK, BEST, COMPILED = ("secondpass bf16", "P0 transformers, eager, bf16 autocast",
                               "P1 PyTorch packed, bf16", "P1 with torch.compile")


def trials(name, step_tokens):
    """What a peer may choose from."""
    if name == STOCK:
        return [dict(batch=budget) for budget in (step_tokens * 4, step_tokens, step_tokens // 2)]
    kinds = [dict(precision=precision, groups=groups, attention="plain", batch=batch,
                  compile=name == COMPILED)
             for groups in (4, 8) for batch in (step_tokens, step_tokens // 2)
             for precision in ("bf16", "autocast")]
    if name == COMPILED:
        return kinds[:4]
    return kinds + [dict(kinds[0], attention="fused"), dict(kinds[0], attention="fused", groups=0)]


class Peer:
    """A process of peer.py."""

    def __init__(self, name, settings, folder, python):
        self.name, self.options, self.tried = name, None, []
        kind = "hf" if name == STOCK else "packed"
        stem = name.split()[0] + ("-compiled" if name == COMPILED else "")
        self.log = folder / f"{stem}.log"
        (folder / f"{stem}.json").write_text(json.dumps(dict(settings, kind=kind)))
        with open(self.log, "w", encoding="utf-8") as stderr:
            self.process = subprocess.Popen([python, HERE / "peer.py", folder / f"{stem}.json"],
                                            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=stderr, env=dict(os.environ, **KEEP_MEMORY))

    def ask(self, **request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit(f"{self.name} ended early (exit {self.process.wait()}): see {self.log}")
        return json.loads(answer)

    def tune(self, steps, step_tokens):
        for options in trials(self.name, step_tokens):
            rate = self.ask(steps=steps, **{"try": options})["tokens_per_second"]
            self.tried.append((rate, options))
        self.options = max(self.tried, key=lambda one: one[0])[1]
        self.ask(steps=1, **{"try": self.options})

    def round(self, steps):
        return self.ask(steps=steps)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """`secondpass train`, a new process and directory a round; its steps are timed by itself."""

    def __init__(self, program, settings, folder):
        self.name, self.options, self.tried = OURS, None, []
        self.out = folder / "ours"
        self.command = [program, "train", "--objective", "mlm", "--model", settings["model"],
                        "--data", settings["lines"], "--out", self.out, "--device", "cpu",
                        "--dtype", "bf16", "--threads", settings["threads"],
                        "--step-tokens", settings["step_tokens"], "--join-share", 0,
                        "--mask-rate", MASK_RATE, "--mask-split", "100,0,0", "--rate", RATE,
                        "--warmup", 1, "--decay", "constant", "--clip", 1, "--weight-decay", 0.01,
                        "--save-every", 0, "--seed", 1, "--json"]

    def tune(self, steps, step_tokens):
        for options in (dict(batch=step_tokens), dict(batch=step_tokens // 2)):
            self.options = options
            self.tried.append((self.round(steps)["tokens_per_second"], options))
        self.options = max(self.tried, key=lambda one: one[0])[1]

    def round(self, steps):
        shutil.rmtree(self.out, ignore_errors=True)
        command = [*map(str, self.command), "--steps", str(steps + 1), "--batch-tokens",
                   str(self.options["batch"])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        return read_steps(self.out / "steps.jsonl")

    def close(self):
        shutil.rmtree(self.out, ignore_errors=True)


def read_steps(path):
    """Of our log, without the first step."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [line for line in lines if not line.get("eval")][1:]
    tokens, seconds = (sum(step[key] for step in steps) for key in ("tokens", "seconds"))
    return dict(tokens=tokens, seconds=seconds, tokens_per_second=tokens / seconds,
                loss=[step["loss"] for step in steps])


def check_equal_work(rounds):
    """Refuses to compare engines whose steps differ in tokens, or whose losses tell of other work."""
    tokens = {name: statistics.median(r["tokens"] for r in done) for name, done in rounds.items()}
    loss = {name: statistics.median(done[0]["loss"]) for name, done in rounds.items()}
    for what, values, most in (("tokens", tokens, 0.08), ("loss", loss, 0.03)):
        low, high = min(values.values()), max(values.values())
        if not high - low <= most * high:
            raise SystemExit(f"the engines do not do the same work: {what} {values}")


def prepare(args, name):
    """The model directory and the file of samples that all train on."""
    model = work.write_model(args.work / name, name)
    words, texts = work.Words(model), []
    for text in work.sentences(args.text):
        texts.append(text)
        if len(texts) == args.sentences:
            break
    lengths = [len(ids) for ids in words.ids(texts)]
    lines = work.samples(texts, lengths, args.join_share, args.max_tokens, 1)
    path = args.work / "lines.txt"
    path.write_text("".join(text + "\n" for text, _ in lines), encoding="utf-8")
    positions = [n for _, n in lines]
    return dict(model=str(model), lines=str(path), shape=work.SHAPES[name], threads=args.threads,
                vocab=work.SHAPES[name]["vocab"], step_tokens=args.step_tokens, steps=args.steps,
                rate=RATE, mask_rate=MASK_RATE), dict(
                    lines=len(lines), tokens=sum(positions), mean=statistics.mean(positions),
                    longest=max(positions))


def measure(args, name):
    settings, text = prepare(args, name)
    folder = args.work / name
    names = [STOCK, BEST] + ([] if args.no_compile else [COMPILED])
    engines = [] if args.peers_only else [Ours(args.program, settings, folder)]
    engines += [Peer(peer, settings, folder, sys.executable) for peer in names]
    for engine in engines:
        print(f"{name}: tuning {engine.name}", file=sys.stderr, flush=True)
        engine.tune(args.trial_steps, args.step_tokens)
    rounds = {engine.name: [] for engine in engines}
    for turn in range(args.rounds):
        for engine in engines:
            rounds[engine.name].append(engine.round(args.steps))
            rate = rounds[engine.name][-1]["tokens_per_second"]
            print(f"{name}: round {turn + 1} {engine.name}: {rate:,.0f} tokens/s", file=sys.stderr,
                  flush=True)
    for engine in engines:
        engine.close()
    check_equal_work(rounds)
    return {"text": text, "rounds": rounds, "options": {e.name: e.options for e in engines},
            "tried": {e.name: e.tried for e in engines if e.tried}}


def cpu_model():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def rates(done):
    return [one["tokens_per_second"] for one in done]


def table(results):
    """Markdown: a row an engine; the ratio is ours over it, median of the rounds' ratios."""
    out = [f"{results['date']}, {results['cpu']}, {results['threads']} threads; medians of "
           f"{results['rounds']} interleaved rounds of {results['steps']} steps of "
           f"{results['step_tokens']:,} tokens; "
           + ", ".join(f"{k} {v}" for k, v in results["versions"].items()), "",
           "| model | engine | tokens/s | ours is | options |", "|---|---|---|---|---|"]
    for name, result in results["shapes"].items():
        ours = result["rounds"].get(OURS)
        for engine, done in result["rounds"].items():
            ratio = (f"{statistics.median(a / b for a, b in zip(rates(ours), rates(done))):.2f}x"
                     if ours else "-")
            options = result["options"].get(engine) or {}
            out.append(f"| {name} | {engine} | {statistics.median(rates(done)):,.0f} | {ratio} | "
                       + ", ".join(f"{k} {v}" for k, v in options.items()) + " |")
    return "\n".join(out) + "\n"


def versions(args):
    out = {n: importlib.metadata.version(n) for n in ("torch", "transformers")}
    if not args.peers_only:
        asked = subprocess.run([args.program, "--version"], stdout=subprocess.PIPE, text=True,
                               check=True)
        out["secondpass"] = asked.stdout.splitlines()[0].removeprefix("secondpass ")
    return out


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(work.ROOT / "build/release/secondpass"))
    parser.add_argument("--work", type=pathlib.Path, default=work.ROOT / "build/train")
    parser.add_argument("--text", default=work.SAMPLE, help="sentences, a line each; .zst too")
    parser.add_argument("--sentences", type=int, default=20000, help="the first ones of the text")
    parser.add_argument("--join-share", type=float, default=0.5)
    parser.add_argument("--max-tokens", type=int, default=192)
    parser.add_argument("--step-tokens", type=int, default=4096)
    parser.add_argument("--shapes", nargs="+", default=["4x256", "8x384"], choices=list(work.SHAPES))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--trial-steps", type=int, default=3)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--peers-only", action="store_true", help="leave secondpass out")
    return parser.parse_args()


def main():
    args = parse()
    args.work.mkdir(parents=True, exist_ok=True)
    results = {"date": datetime.date.today().isoformat(), "cpu": cpu_model(),
               "threads": args.threads, "rounds": args.rounds, "steps": args.steps,
               "step_tokens": args.step_tokens, "versions": versions(args),
               "shapes": {name: measure(args, name) for name in args.shapes}}
    (args.work / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (args.work / "table.md").write_text(table(results), encoding="utf-8")
    print(table(results), end="")


if __name__ == "__main__":
    main()
