"""table.py - lookahead masks side by side on one model and archive. Called by bench/lookahead.sh.

Each line of the table is a mask and a method; it is scored plainly (--without nodes) and with each
distinct node once, in turns, and must give the same scores to the bit.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MASKS = "full,causal,layerwise:1,layerwise:2,layerwise:5,chunked:2,chunked:5,chunked:10,dynamic"
SHARED, PLAIN = "shared", "plain"
UNTRAINED, ONE_PASS = "†", "causal, one pass left to right"


class Program:
    """secondpass; what every call of score has in common."""

    def __init__(self, args):
        self.path, self.common = args.program, []
        for option in ("threads", "dtype", "limit"):
            if getattr(args, option) is not None:
                self.common += ["--" + option, str(getattr(args, option))]

    def json(self, *arguments):
        done = subprocess.run([self.path, *map(str, arguments), "--json"], capture_output=True,
                              text=True, check=False)
        if done.returncode:
            sys.exit(f"secondpass {' '.join(map(str, arguments))}\n{done.stderr}")
        return json.loads(done.stdout)

    def score(self, row, archive, out, *more):
        return self.json("score", "--model", row.model, "--method", row.method, *row.mask_options(),
                         *self.common, *more, "--out", out, archive)

    def lines(self, run):
        return subprocess.run([self.path, "cat", run], capture_output=True, check=True).stdout


class Row:
    """What is measured: a mask, a method, and the model that has it."""

    def __init__(self, label, mask, method, model, policy, made=False):
        """policy: the model's own; made: its schedulers were made here."""
        self.label, self.mask, self.method, self.model = label, mask, method, model
        self.policy, self.made = policy, made
        self.variants = [PLAIN] if mask == "full" else [PLAIN, SHARED]
        self.seconds = {variant: [] for variant in self.variants}
        self.summary, self.latency, self.wer = {}, None, None

    def mask_options(self):
        return [] if self.mask == self.policy else ["--mask", self.mask, "--force-mask"]

    def is_untrained(self):
        return self.made or self.summary[PLAIN]["mask_forced"]

    def time(self, variant):
        return statistics.median(self.seconds[variant]) if variant in self.seconds else None

    def best(self):
        return min(self.time(variant) for variant in self.variants)

    def nodes(self):
        """(of the plain computation, distinct or None)"""
        counts = self.summary.get(SHARED, {}).get("counts", {})
        return self.summary[PLAIN]["counts"]["plain_nodes"], counts.get("nodes")

    def result(self):
        plain, distinct = self.nodes()
        return {"label": self.label, "mask": self.mask, "method": self.method,
                "untrained": self.is_untrained(), "wer": self.wer, "latency": self.latency,
                "plain_nodes": plain, "nodes": distinct, "seconds": self.seconds,
                "signature": self.summary[PLAIN]["signature"]}


def policy_of(model):
    with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
        return json.load(file).get("lookahead", {}).get("policy", "full")


def has_cls(program, model):
    done = subprocess.run([program.path, "model", model], capture_output=True, text=True, check=True)
    return "method cls                 yes" in done.stdout


def references(archive):
    """Its texts, of the first hypotheses: what the made schedulers are calibrated on."""
    reader = ["zstd", "-qdc"] if archive.endswith(".zst") else ["cat"]
    raw = subprocess.run([*reader, archive], capture_output=True, check=True).stdout
    return [json.loads(line)["hyps"][0]["text"] for line in raw.splitlines()[:100]]


def make_dynamic(args, folder):
    text, out = folder / "text", folder / "dynamic"
    text.write_text("".join(line + "\n" for line in references(args.archive)), encoding="utf-8")
    subprocess.run([sys.executable, "-B", HERE / "make_model.py", args.model, out, "--policy", "dynamic",
                    "--max", str(args.reach), "--density", str(args.density), "--text", text],
                   check=True, stdout=sys.stderr)
    return str(out)


def find_dynamic(args, folder):
    if args.dynamic:
        return args.dynamic
    return args.model if policy_of(args.model) == "dynamic" else make_dynamic(args, folder)


def make_rows(args, program, folder):
    masks, own = args.masks.split(","), policy_of(args.model)
    dynamic = find_dynamic(args, folder) if "dynamic" in masks else None

    def row(label, mask, method):
        if mask == "dynamic":
            made = dynamic not in (args.dynamic, args.model)
            return Row(label, mask, method, dynamic, policy_of(dynamic), made)
        return Row(label, mask, method, args.model, own if own in ("full", "causal") else None)

    rows = [row(f"{mask}, {method}", mask, method) for method in args.methods.split(",")
            for mask in masks]
    rows.append(row(ONE_PASS, "causal", "maskless"))
    if has_cls(program, args.model):
        return [*rows, Row("as trained, one pass: cls head", "model", "cls", args.model, "model")]
    return [*rows, row("full, one pass (as much work as a cls head)", "full", "maskless")]


def run_once(program, row, variant, archive, folder):
    """Scores into a new run and keeps the last one of each variant."""
    out = folder / variant
    shutil.rmtree(out, ignore_errors=True)
    more = ["--without", "nodes"] if variant == PLAIN else []
    row.summary[variant] = program.score(row, archive, out, *more)
    row.seconds[variant].append(row.summary[variant]["seconds"]["score"])


def check_equal(program, row, folder):
    if SHARED in row.variants and program.lines(folder / PLAIN) != program.lines(folder / SHARED):
        sys.exit(f"{row.label}: the scores with distinct nodes are others than without")


def count_errors(program, args, row, folder):
    """Word error rate of the archive reranked with the weight of fewest errors on dev."""
    dev = folder / "dev" if args.dev else folder / PLAIN
    limit = [] if args.limit is None else ["--limit", args.limit]
    if args.dev:
        program.score(row, args.dev, dev)
    program.json("tune", args.dev or args.archive, "--scores", dev, "--out", folder / "weights.json",
                 *limit)
    program.json("rescore", args.archive, "--scores", folder / PLAIN, "--weights",
                 folder / "weights.json", "--out", folder / "best.jsonl", *limit)
    counted = program.json("wer", folder / "best.jsonl", "--bootstrap", 1)
    return 100 * counted["result"]["rate"]


def measure_latency(program, args, row, folder):
    """On the unmasked pass, which is all that latency looks at."""
    if row.method == "cls":
        return None
    one_pass = Row(row.label, row.mask, "maskless", row.model, row.policy)
    return program.score(one_pass, args.archive, folder / "latency", "--latency").get("latency")


def measure(args, program, rows, scratch):
    for turn in range(args.rounds):
        for index, row in enumerate(rows):
            folder = scratch / str(index)
            folder.mkdir(exist_ok=True)
            for variant in row.variants:
                run_once(program, row, variant, args.archive, folder)
            if turn == 0:
                check_equal(program, row, folder)
                row.wer = count_errors(program, args, row, folder)
                row.latency = measure_latency(program, args, row, folder)
            print(f"round {turn + 1} of {args.rounds}: {row.label}: " + ", ".join(
                f"{variant} {row.seconds[variant][-1]:.2f} s" for variant in row.variants),
                  file=sys.stderr, flush=True)


def number(value, form=".2f"):
    return "-" if value is None else format(value, form)


def ratio(above, below):
    return f"{above / below:.1f}x" if above and below else "-"


def latency_cell(latency):
    """Mean and p90 of outputs that the end of their sentence does not clip, else of the clipped."""
    if not latency or latency["outputs"] == 0:
        return "-"
    if latency["outputs"] == latency["clipped"]:
        return f"{number(latency['clipped_mean'])} to the end"
    return f"{number(latency['mean'])} / {number(latency['p90'], '.0f')}"


def line(row, one_pass):
    plain, distinct = row.nodes()
    label = row.label + (f" {UNTRAINED}" if row.is_untrained() else "")
    cells = [label, number(row.wer), latency_cell(row.latency), number(plain, ",d"),
             number(distinct, ",d"), ratio(plain, distinct), number(row.time(PLAIN)),
             number(row.time(SHARED)), ratio(row.time(PLAIN), row.time(SHARED)),
             ratio(row.best(), one_pass)]
    return "| " + " | ".join(cells) + " |"


def markdown(args, rows):
    summary = rows[0].summary[PLAIN]
    counts = summary["counts"]
    one_pass = next(row for row in rows if row.label == ONE_PASS).best()
    rounds = "one round" if args.rounds == 1 else f"medians of {args.rounds} rounds taken in turns"
    tuned = "on another archive" if args.dev else "on the same lists, so they flatter every row alike"
    out = [f"{counts['utts']:,} utterances, {counts['hyps']:,} hypotheses, {summary['dtype']}, "
           f"{summary['threads']} threads, {summary['device_type']}; {rounds}.", "",
           "| mask, score | WER % | latency, tokens: mean / p90 | nodes, plain | distinct | ratio | "
           "seconds, plain | distinct nodes | ratio | of one pass |",
           "|---|---|---|---|---|---|---|---|---|---|", *(line(row, one_pass) for row in rows), "",
           f"WER after reranking with one weight, tuned {tuned}. Latency: how many tokens after its own an "
           "output waits for, where the sentence's end does not cut that short. Nodes: positions of "
           "layers that are computed; where they are shared the scores are the same to the bit. A causal "
           "mask has a one-pass form, whose products are those of a left-to-right language model of this "
           "shape; its distinct nodes are that model's with shared prefixes, and the last column is the "
           "quicker time of a row over the quicker one of that pass."]
    if any(row.is_untrained() for row in rows):
        out += ["", f"{UNTRAINED} The model was trained with another mask, and a dynamic one has random "
                "schedulers: the word error rate says what the mask breaks, not what a model trained for "
                "it would do."]
    return "\n".join(out) + "\n"


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", default=str(ROOT / "bench/data/model"))
    parser.add_argument("--archive", default=str(ROOT / "bench/data/dev-clean-200.jsonl.zst"))
    parser.add_argument("--dev")
    parser.add_argument("--masks", default=MASKS)
    parser.add_argument("--methods", default="pll")
    parser.add_argument("--dynamic")
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--reach", type=int, default=2)
    for option in ("limit", "threads"):
        parser.add_argument("--" + option, type=int)
    parser.add_argument("--dtype")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", default=str(ROOT / "build/lookahead"))
    return parser.parse_args()


def main():
    args = parse()
    program, out = Program(args), pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        rows = make_rows(args, program, scratch)
        measure(args, program, rows, scratch)
    text = markdown(args, rows)
    (out / "table.md").write_text(text, encoding="utf-8")
    results = {"rounds": args.rounds, "first": rows[0].summary[PLAIN],
               "rows": [row.result() for row in rows]}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
