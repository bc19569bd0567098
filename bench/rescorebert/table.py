"""The RescoreBERT table: a teacher's pseudo-log-likelihoods, and students of one pass, over 10-best
lists. Called by bench/rescorebert.sh.

Stages    distill the teacher's PLL of text into a student; go on with its PLL of the lists of the dev
          sets; from there MWER or MWED with the distillation term beside it
Folds     dev speakers are dealt to K folds. What is trained on lists is trained K times, each on K - 1
          folds, and once on all. The dev figures of fold k come from the models of the other folds,
          with a weight tuned on the other folds; the test figures from the models of all folds, with a
          weight tuned on all held-out scores
Intervals 95 %, speakers resampled
"""

import argparse
import json
import pathlib
import shlex
import sys

import folds
import steps

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SETS = ("dev-clean", "dev-other", "test-clean")
FIRST, DISTILLED = "first pass", "student, distilled on text and lists"


class Row:
    """A second pass: held-out scores of every fold (runs), of the test set, the model to time."""

    def __init__(self, name, key, method, held_out, test, model):
        self.name, self.key, self.method = name, key, method
        self.held_out, self.test, self.model = held_out, test, model
        self.fold_weights, self.weight, self.wer = [], None, {}
        self.lists, self.rate = None, None  # times of single lists; hypotheses a second of many


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
        self.fold = [self.steps.path("lists", f"fold-{k}.jsonl") for k in range(args.folds)]
        self.set = {name: self.steps.path("lists", f"{name}.jsonl") for name in SETS}
        self.steps.once("lists", self.make_lists)

    # ---- inputs ----

    def make_lists(self):
        limits = dict(zip(SETS, self.args.limit_lists))
        for name, archive in zip(SETS, (*self.args.dev, self.args.test)):
            path = self.set[name]
            self.steps.json("convert", "--to", "jsonl", "--out", path, archive)
            steps.write_lines(path, folds.spread(steps.read_lines(path), limits[name]))
        lines = [line for name in SETS[:2] for line in steps.read_lines(self.set[name])]
        test = {folds.speaker(folds.identity(l)) for l in steps.read_lines(self.set[SETS[2]])}
        dev = {folds.speaker(folds.identity(l)) for l in lines}
        if dev & test:
            sys.exit(f"speakers of dev and test: {', '.join(sorted(dev & test)[:5])}")
        if len(dev) < self.args.folds:
            sys.exit(f"{len(dev)} speakers make no {self.args.folds} folds")
        for path, part in zip(self.fold, folds.split(lines, self.args.folds)):
            steps.write_lines(path, part)
        return {"lists": len(lines), "speakers": len(dev)}

    def make_text(self):
        lines = steps.first_lines(self.args.text, self.args.text_lines)
        steps.write_lines(self.steps.path("text.txt"), [line for line in lines if line.strip()])
        return len(lines)

    def test(self):
        return self.set[SETS[2]]

    # ---- scores ----

    def score_all(self, key, methods, models, final):
        """Runs of the folds and of the test set; models: of every fold, none of which has seen it."""
        runs = [self.steps.score(f"{key}-fold-{k}", model, methods, self.fold[k], *self.common)[0]
                for k, model in enumerate(models)]
        return runs, self.steps.score(f"{key}-test", final, methods, self.test(), *self.common)[0]

    def student_row(self, name, key, models, final):
        return Row(name, key, "cls", *self.score_all(key, "cls", models, final), final)

    def teacher_rows(self):
        """Both methods in one run: most masked copies are the same."""
        teacher, methods = self.args.teacher, ("pll", "pll_l2r")
        runs = self.score_all("teacher", ",".join(methods), [teacher] * self.args.folds, teacher)
        return [Row(f"teacher, {method}", f"teacher-{method}", method, *runs, teacher)
                for method in methods]

    # ---- training ----

    def train(self, name, objective, arguments, *more):
        return self.steps.train(name, "--objective", objective, *self.common, "--seed", self.args.seed,
                                *more, *shlex.split(arguments))

    def distill_text(self):
        self.steps.once("text", self.make_text)
        text = self.steps.path("text.txt")
        run, _ = self.steps.score("teacher-text", self.args.teacher, "pll", text, "--format", "text",
                                  *self.common)
        student = pathlib.Path(self.args.student or self.args.teacher)
        begin = ["--model", student]
        if student.suffix == ".json":
            begin = ["--config", student, "--vocab", self.args.teacher]
        elif self.args.student_layers:
            begin += ["--init-layers", self.args.student_layers]
        return self.train("text", "distill", self.args.text_args, *begin, "--data", text, "--teacher",
                          run)

    def train_on_folds(self, key, objective, arguments, begin, teacher_runs, betas=None):
        """Models without fold k, for every k, and one of all."""
        out = []
        for left_out in [*range(self.args.folds), None]:
            used = [k for k in range(self.args.folds) if k != left_out]
            name = f"{key}-" + ("all" if left_out is None else f"without-{left_out}")
            more = ["--model", begin[-1 if left_out is None else left_out], "--data",
                    ",".join(str(self.fold[k]) for k in used), "--teacher",
                    ",".join(str(teacher_runs[k]) for k in used), "--teacher-method", "pll"]
            if betas:
                more += ["--beta", betas[-1 if left_out is None else left_out]]
            out.append(self.train(name, objective, arguments, *more))
        return out

    def student_rows(self, teacher_runs):
        args, count = self.args, self.args.folds
        text = self.distill_text()
        rows = [self.student_row("student, distilled on text", "text", [text] * count, text)]
        distilled = self.train_on_folds("lists", "distill", args.list_args, [text] * (count + 1),
                                        teacher_runs)
        rows.append(self.student_row(DISTILLED, "lists", distilled[:-1], distilled[-1]))
        self.tune(rows[-1])
        betas = [args.beta or max(weight, 0.01)
                 for weight in (*rows[-1].fold_weights, rows[-1].weight)]
        for objective, arguments in (("mwer", args.mwer_args), ("mwed", args.mwed_args)):
            models = self.train_on_folds(objective, objective, arguments, distilled, teacher_runs, betas)
            rows.append(self.student_row(f"student, with {objective.upper()}", objective, models[:-1],
                                         models[-1]))
        return rows

    # ---- evaluation ----

    def tune(self, row):
        """One weight for each fold, of the others' held-out scores; and one of all."""
        if row.weight is not None:
            return
        for left_out in [*range(self.args.folds), None]:
            used = [k for k in range(self.args.folds) if k != left_out]
            name = f"{row.key}-" + ("all" if left_out is None else f"without-{left_out}")
            weight = self.steps.tune(name, [self.fold[k] for k in used], row.method,
                                     [row.held_out[k] for k in used])
            if left_out is None:
                row.weight = weight
            else:
                row.fold_weights.append(weight)

    def count_errors(self, row):
        """WER of both dev sets, each list ranked by its fold's weight; then of the test set."""
        ranked = [self.steps.rescore(f"{row.key}-fold-{k}", self.fold[k], row.method, run, weight)
                  for k, (run, weight) in enumerate(zip(row.held_out, row.fold_weights))]
        lines = {folds.identity(l): l for path in ranked for l in steps.read_lines(path)}
        for name in SETS[:2]:
            best = self.steps.path("rescored", f"{row.key}-{name}.jsonl")
            order = [folds.identity(l) for l in steps.read_lines(self.set[name])]
            steps.write_lines(best, [lines[i] for i in order])
            row.wer[name] = self.compare(row, name, best)
        best = self.steps.rescore(f"{row.key}-test", self.test(), row.method, row.test, row.weight)
        row.wer[SETS[2]] = self.compare(row, SETS[2], best)

    def compare(self, row, name, best):
        """With intervals, against the first pass."""
        return self.steps.wer(f"{row.key}-{name}", best, "--block-by", "speaker", "--bootstrap",
                              self.args.bootstrap, "--against", self.set[name])

    def against_distilled(self, row):
        """On the test set."""
        other = self.steps.path("rescored", "lists-test.jsonl")
        return self.steps.wer(f"{row.key}-over-distilled", self.steps.path(
            "rescored", f"{row.key}-test.jsonl"), "--block-by", "speaker", "--bootstrap",
            self.args.bootstrap, "--against", other)

    def time_lists(self, row):
        of = ["--model", row.model, "--method", row.method, *self.common, self.test()]
        row.lists = self.steps.once("speed-" + row.key, lambda: self.steps.json(
            "bench", "lists", "--limit", self.args.speed_lists, *of))
        row.rate = self.steps.once("rate-" + row.key, lambda: self.steps.json(
            "bench", "engine", "--scoring-only", "--limit", self.args.rate_lists, *of))["hyps_per_s"]

    def run(self):
        rows = self.teacher_rows()
        rows += self.student_rows(rows[0].held_out)
        for row in rows:
            self.tune(row)
            self.count_errors(row)
            self.time_lists(row)
        over = {row.key: self.against_distilled(row)["against"][0] for row in rows
                if row.key in ("mwer", "mwed")}
        return rows, over


# ---- what is said ----


def percent(rate, interval):
    return f"{100 * rate:.2f} [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"


def points(interval):
    return f"[{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"


def block(interval):
    """Of speakers; of utterances where there is but one speaker."""
    return interval["block"] or interval["utterance"]


def first_pass_cells(row):
    cells = []
    for name in SETS:
        first = row.wer[name]["against"][0]
        cells.append(percent(first["rate"], block(first["interval"])))
    oracle = 100 * row.wer[SETS[2]]["lists"]["oracle"]["rate"]
    return [FIRST, *cells, f"oracle {oracle:.2f}", "-", "-", "-"]


def cells_of(row):
    out = [row.name]
    for name in SETS:
        said = row.wer[name]
        out.append(percent(said["result"]["rate"], block(said["interval"])))
    test = row.wer[SETS[2]]["against"][0]
    ms = row.lists["list_ms"]
    return [*out, points(block(test["difference"])), f"{row.weight:.4g}", f"{row.rate:,.0f}",
            f"{ms['p50']:.1f} / {ms['p95']:.1f} / {ms['p99']:.1f}"]


def markdown(bench, rows, over):
    lists, speed = bench.steps.once("lists", dict), rows[0].lists
    out = [f"{lists['lists']:,} dev lists of {lists['speakers']} speakers in {bench.args.folds} folds; "
           f"{speed['device_type']}, {speed['dtype']}, {speed['threads']} threads", "",
           "| second pass | dev-clean, WER % | dev-other | test-clean | over the first pass, points | "
           "weight | hyps/s | one list, ms: p50 / p95 / p99 |", "|---|---|---|---|---|---|---|---|"]
    out += ["| " + " | ".join(cells) + " |"
            for cells in (first_pass_cells(rows[0]), *map(cells_of, rows))]
    out += ["", "95 % intervals resample speakers; those over the first pass are of the difference on "
            "test-clean. dev: each fold by models and weights of the others; test-clean: by models and "
            "weights of all, once."]
    for key, said in over.items():
        out.append(f"{key.upper()} over the distilled student on test-clean: "
                   f"{points(block(said['difference']))} points, MAPSSWE p = {said['mapsswe']['p']:.3g}.")
    return "\n".join(out) + "\n"


def result(row):
    return {"name": row.name, "key": row.key, "method": row.method, "model": str(row.model),
            "weight": row.weight, "fold_weights": row.fold_weights, "wer": row.wer, "lists": row.lists,
            "hyps_per_second": row.rate}


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/secondpass"))
    parser.add_argument("--lists", type=pathlib.Path)
    parser.add_argument("--dev", nargs=2)
    parser.add_argument("--test")
    parser.add_argument("--text", required=True)
    parser.add_argument("--teacher", default=str(ROOT / "bench/data/model"))
    parser.add_argument("--student")
    parser.add_argument("--student-layers")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/rescorebert")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--text-lines", type=int, default=50000)
    parser.add_argument("--text-args", default="--epochs 8 --rate 1e-3 --warmup 200 "
                                               "--step-tokens 4096 --save-dtype bf16")
    parser.add_argument("--list-args", default="--epochs 4 --rate 3e-4 --step-tokens 8192")
    parser.add_argument("--mwer-args", default="--epochs 3 --rate 5e-5 --step-tokens 8192 "
                                               "--distill-weight 1e-4")
    parser.add_argument("--mwed-args", default="--epochs 3 --rate 1e-4 --step-tokens 8192 "
                                               "--distill-weight 1e-4")
    parser.add_argument("--beta", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dtype", choices=("f32", "bf16"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--speed-lists", type=int, default=500)
    parser.add_argument("--rate-lists", type=int, default=100)
    parser.add_argument("--limit-lists", type=int, nargs=3, default=[0, 0, 0],
                        help="of each set, taken evenly; 0: all")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.lists:
        names = [args.lists / f"librispeech-espnet-10best.{name}.json.zst" for name in SETS]
        args.dev, args.test = [str(name) for name in names[:2]], str(names[2])
    if not args.dev or not args.test:
        parser.error("--lists DIR, or --dev FILE FILE and --test FILE")
    if args.folds < 2:
        parser.error("--folds is at least 2")
    if args.quick:
        shorten(args)
    return args


def shorten(args):
    args.limit_lists, args.folds, args.text_lines = [30, 30, 20], 2, 200
    args.speed_lists, args.rate_lists, args.bootstrap = 20, 4, 100
    for stage in ("text", "list", "mwer", "mwed"):
        setattr(args, stage + "_args", "--steps 3 --step-tokens 512 --batch-tokens 512 --rate 1e-4")


def main():
    args = parse()
    bench = Bench(args)
    rows, over = bench.run()
    text = markdown(bench, rows, over)
    results = {"settings": json.loads(bench.steps.path("settings.json").read_text(encoding="utf-8")),
               "rows": [result(row) for row in rows], "over_distilled": over}
    steps.write_whole(bench.steps.path("results.json"), json.dumps(results, indent=1) + "\n")
    steps.write_whole(bench.steps.path("table.md"), text)
    print(text, end="")


if __name__ == "__main__":
    main()
