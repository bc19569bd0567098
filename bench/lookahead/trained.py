"""trained.py - masks side by side on models that were trained for them, from one checkpoint with equal
tokens. Called by bench/lookahead_train.sh.

Held-out loss is that of the model that was kept, with rounded masks; word errors are of the test
lists, ranked with the weight of fewest errors on the dev lists; latency is that of the unmasked pass
over the test lists; nodes are of their scoring; times are medians of rounds taken in turns.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench/rescorebert"))
import folds  # noqa: E402
import steps  # noqa: E402
from table import block, percent, points  # noqa: E402


class Row:
    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments
        self.key = name.replace(":", "-").replace(" ", "-")
        self.seconds = []

    def result(self):
        return {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(self).items()}


def rows_of(args):
    fixed = [Row("full", []), *(Row(mask, ["--lookahead", mask])
                                for mask in ("causal", "layerwise:1", "layerwise:2"))]
    return fixed + [Row(f"dynamic:{args.reach} {weight}",
                        ["--lookahead", f"dynamic:{args.reach}", "--penalty", args.penalty,
                         "--penalty-weight", weight, *shlex.split(args.dynamic_args)])
                    for weight in args.penalties.split(",")]


class Bench:
    def __init__(self, args):
        self.args = args
        settings = {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(args).items()}
        for name in ("program", "out", "threads"):  # never change a result
            settings.pop(name)
        self.steps = steps.Steps(args.out, args.program, settings)
        self.common = ["--device", args.device]
        for option in ("dtype", "threads"):
            if getattr(args, option):
                self.common += ["--" + option, getattr(args, option)]
        self.text, self.dev, self.test = (self.steps.path("inputs", name) for name in
                                          ("text.txt", "dev.jsonl", "test.jsonl"))
        self.counts = self.steps.once("inputs", self.make_inputs)

    def make_inputs(self):
        lines = steps.first_lines(self.args.text, self.args.text_lines)
        steps.write_lines(self.text, [line for line in lines if line.strip()])
        counts = {"text": len(lines)}
        for path, archives, limit in ((self.dev, self.args.dev, self.args.limit_lists[0]),
                                      (self.test, [self.args.test], self.args.limit_lists[1])):
            self.steps.json("convert", "--to", "jsonl", "--out", path, *archives)
            kept = folds.spread(steps.read_lines(path), limit)
            steps.write_lines(path, kept)
            counts[path.stem] = len(kept)
        return counts

    def train(self, row):
        args = self.args
        row.model = self.steps.train(row.key, "--objective", "mlm", "--model", args.model, "--data",
                                     self.text, "--holdout-every", args.holdout_every, "--seed",
                                     args.seed, *self.common, *shlex.split(args.train_args),
                                     *row.arguments)
        row.training = self.steps.once("log-" + row.key,
                                       lambda: read_log(row.model.parent / "steps.jsonl"))

    def rescore(self, row):
        key, method = row.key, self.args.method
        dev, _ = self.steps.score(key + "-dev", row.model, method, self.dev, *self.common)
        row.weight = self.steps.tune(key, [self.dev], method, [dev])
        test, row.score = self.steps.score(key + "-test", row.model, method, self.test, *self.common)
        best = self.steps.rescore(key, self.test, method, test, row.weight)
        row.wer = self.steps.wer(key, best, "--block-by", "speaker", "--bootstrap", self.args.bootstrap,
                                 "--against", self.test)
        _, said = self.steps.score(key + "-latency", row.model, "maskless", self.test, "--latency",
                                   *self.common)
        row.latency = said["latency"]

    def time(self, rows):
        def measure():
            seconds = {row.key: [] for row in rows}
            for _ in range(self.args.rounds):
                for row in rows:
                    said = self.steps.json("bench", "engine", "--scoring-only", "--seconds", 1, "--model",
                                           row.model, "--method", self.args.method, "--limit",
                                           self.args.speed_lists, *self.common, self.test)
                    seconds[row.key].append(said["seconds"])
            return seconds
        for key, values in self.steps.once("times", measure).items():
            next(row for row in rows if row.key == key).seconds = values

    def run(self):
        rows = rows_of(self.args)
        for row in rows:
            self.train(row)
            self.rescore(row)
        self.time(rows)
        tokens = {row.training["tokens"] for row in rows}
        if not max(tokens) - min(tokens) <= 0.01 * max(tokens):
            sys.exit(f"the runs did not see as many tokens: {sorted(tokens)}")
        return rows


def read_log(path):
    """Tokens trained on, and the evaluation of the model that was kept."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    evals = [line for line in lines if line.get("eval")]
    if not evals:
        sys.exit(f"{path} has no evaluation")
    kept = ([line for line in evals if line.get("best")] or evals)[-1]
    return {"tokens": sum(line["tokens"] for line in lines if not line.get("eval")), "eval": kept}


def number(value, form):
    return "-" if value is None else format(value, form)


def latency_cells(row):
    latency = row.latency
    if latency["outputs"] == latency["clipped"]:  # each output waits for the sentence's end
        return f"{number(latency['clipped_mean'], '.2f')} to the end", number(latency["upl_mean"], ".2f")
    return (f"{number(latency['mean'], '.2f')} / {number(latency['p90'], '.0f')}",
            number(latency["upl_mean"], ".2f"))


def cells_of(row, full):
    kept, wer, counts = row.training["eval"], row.wer, row.score["counts"]
    loss = kept.get("rounded")
    loss = kept["loss"] if loss is None else loss
    seconds = statistics.median(row.seconds)
    return [row.name, number(loss, ".4f"), percent(wer["result"]["rate"], block(wer["interval"])),
            points(block(wer["against"][0]["difference"])), f"{row.weight:.3g}", *latency_cells(row),
            f"{counts['nodes']:,}", f"{counts['plain_nodes'] / counts['nodes']:.2f}x", f"{seconds:.2f}",
            f"{statistics.median(full.seconds) / seconds:.2f}x"]


def markdown(args, counts, rows):
    first = rows[0].wer["against"][0]
    out = [f"{rows[0].training['tokens']:,} tokens each; {counts['dev']:,} dev and {counts['test']:,} test "
           f"lists, {args.method}; {rows[0].score['device_type']}, {rows[0].score['dtype']}; first pass "
           f"{percent(first['rate'], block(first['interval']))} % WER", "",
           "| trained and scored under | held-out loss | test WER % | over the first pass | weight | "
           "latency, tokens: mean / p90 | user-perceived | nodes | fewer | seconds | faster |",
           "|---|---|---|---|---|---|---|---|---|---|---|"]
    out += ["| " + " | ".join(cells_of(row, rows[0])) + " |" for row in rows]
    out.append(f"\nA dynamic mask is named by its reach and the weight of its penalty ({args.penalty}); its "
               "loss is with rounded masks. Seconds are of "
               f"{args.speed_lists} lists, medians of {args.rounds} rounds taken in turns.")
    return "\n".join(out) + "\n"


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/secondpass"))
    parser.add_argument("--text", required=True)
    parser.add_argument("--dev", nargs="+", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--model", default=str(ROOT / "bench/data/model"))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/lookahead-train")
    parser.add_argument("--text-lines", type=int, default=200000)
    parser.add_argument("--holdout-every", type=int, default=1000)
    parser.add_argument("--train-args", default="--steps 2000 --step-tokens 4096 --rate 3e-4")
    parser.add_argument("--reach", type=int, default=2)
    parser.add_argument("--penalty", default="relative-ema")
    parser.add_argument("--penalties", default="0.1,1")
    parser.add_argument("--dynamic-args", default="")
    parser.add_argument("--method", default="pll")
    parser.add_argument("--limit-lists", type=int, nargs=2, default=[1000, 0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speed-lists", type=int, default=50)
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dtype", choices=("f32", "bf16"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.limit_lists, args.text_lines, args.holdout_every = [20, 10], 400, 50
        args.rounds, args.speed_lists, args.bootstrap = 1, 4, 100
        args.train_args = "--steps 3 --step-tokens 512 --batch-tokens 512 --rate 1e-4"
    return args


def main():
    args = parse()
    bench = Bench(args)
    rows = bench.run()
    text = markdown(args, bench.counts, rows)
    steps.write_whole(bench.steps.path("results.json"), json.dumps(
        {"inputs": bench.counts, "rows": [row.result() for row in rows]}, indent=1) + "\n")
    steps.write_whole(bench.steps.path("table.md"), text)
    print(text, end="")


if __name__ == "__main__":
    main()
