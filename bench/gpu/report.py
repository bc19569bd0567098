"""results.json to a Markdown table, and the required and aimed-at figures beside the measured ones.

usage: report.py results.json"""

import json
import pathlib
import statistics
import sys

MEASURES = {"kernel": "kernel", "end_to_end": "file to shards"}
# (shape, work, measure, peer, required, aim)
WANTED = [("base", "mix", "end_to_end", "B0", 3.0, 4.0),
          ("base", "mix", "end_to_end", "B1", 1.5, 2.0),
          ("4x312", "mix", "end_to_end", "B0", 8.0, 10.0),
          ("4x312", "mix", "end_to_end", "B1", 1.7, 2.2)]
SHARES = [("base", 0.60, 0.68), ("teacher", 0.66, 0.74)]
IDLE = 2.0  # percent at most


def median(measured, key="copies_per_s"):
    values = [m[key] for m in measured or [] if m.get(key) is not None]
    return statistics.median(values) if values else None


def ratio(ours, theirs, key="copies_per_s"):
    """Median of the rounds' ratios: neighbours in time are compared with each other."""
    pairs = [(a[key], b[key]) for a, b in zip(ours or [], theirs or [])]
    return statistics.median(a / b for a, b in pairs) if pairs else None


def text(value, form):
    return "-" if value is None else format(value, form)


def times(value):
    return "-" if value is None else f"{value:.2f}x"


def percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"


def peak(results, shape, work, measure):
    run = shape["work"][work].get("run", {}).get(measure, 0)
    return results["runs"][run]["limits"]["bf16_flops"]


def share(results, name, work, measure):
    """Of the measured peak, counting the arithmetic that was done."""
    shape = results["shapes"].get(name, {})
    ours = shape.get("work", {}).get(work, {}).get(measure, {}).get("secondpass")
    flops = median(ours, "flops_per_s")
    return flops / peak(results, shape, work, measure) if flops else None


def rows(results):
    for name, shape in results["shapes"].items():
        for work, by_measure in shape["work"].items():
            for measure, label in MEASURES.items():
                got = by_measure.get(measure)
                if not got:
                    continue
                ours = got.get("secondpass")
                cells = [name, work, label, text(median(ours), ",.0f")]
                for peer in ("B0", "B1"):
                    theirs = got.get(peer)
                    cells += [text(median(theirs), ",.0f"), times(ratio(ours, theirs))]
                cells += [percent(share(results, name, work, measure)),
                          text(len(next(iter(got.values()))), "d")]
                yield cells
                if got.get("B1+trim"):
                    yield [name, work, label + ", B1 with our last-layer trim", "", "", "",
                           text(median(got["B1+trim"]), ",.0f"), times(ratio(ours, got["B1+trim"])),
                           "", ""]


def table(header, lines):
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return out + ["| " + " | ".join(line) + " |" for line in lines]


def wanted(results):
    for name, work, measure, peer, least, aim in WANTED:
        got = results["shapes"].get(name, {}).get("work", {}).get(work, {}).get(measure, {})
        value = ratio(got.get("secondpass"), got.get(peer))
        yield [f"{name}, {work}, {MEASURES[measure]}, over {peer}", f"{least}x", f"{aim}x",
               times(value), judged(value, least, aim)]
    for name, least, aim in SHARES:
        found = [share(results, name, work, "kernel") for work in ("24", "mix")]
        found = [value for value in found if value is not None]
        value = min(found) if found else None
        yield [f"{name}, share of the measured peak, kernel, the lower of 24 and mix",
               percent(least), percent(aim), percent(value), judged(value, least, aim)]
    for name, shape in results["shapes"].items():
        idle = shape["work"].get("mix", {}).get("idle")
        if idle:
            value = idle["idle_percent"]
            yield [f"{name}, GPU idle over {idle['wall_seconds']:.0f} s",
                   f"{IDLE:.0f} % at most", "", "-" if value is None else f"{value:.1f} %",
                   judged(None if value is None else -value, -IDLE, -IDLE)]


def judged(value, least, aim):
    if value is None:
        return "not measured"
    return "below" if value < least else "required" if value < aim else "aim reached"


def parity_rows(results):
    for name, shape in results["shapes"].items():
        for work, parity in shape.get("parity", {}).items():
            for engine, found in parity["engines"].items():
                yield [name, work, engine,
                       *(f"{found[key]:.4f}" for key in ("mean", "p99", "largest")),
                       f"{found['same_best']} of {found['lists']}",
                       "failed" if engine in parity["failed"] else "passed"]


def start_rows(results):
    for name, shape in results["shapes"].items():
        for engine, facts in shape.get("engines", {}).items():
            tuned = sum((facts.get("tuning_seconds") or {}).values())
            chosen = "; ".join(f"{w}: {c}" for w, c in (facts.get("chosen") or {}).items())
            yield [name, engine, text(facts.get("start_seconds"), ".1f"),
                   text(tuned or None, ".0f"), chosen]


MASKS = ("causal", "layerwise:1", "layerwise:5", "chunked:5", "chunked:10")


def mask_rows(results):
    for name, shape in results["shapes"].items():
        for work, got in shape["work"].items():
            if got.get("masks"):
                yield [name, work, *(f"{100 * (got['masks'][p] - 1):+.1f} %" for p in MASKS)]


def product_rows(results):
    """Of each weight, the rows at which one algorithm for all of them costs least and most."""
    found = {}
    for row in (results.get("products") or {}).get("products", []):
        if row.get("cost") is not None:
            found.setdefault((row["n"], row["k"], row["epilogue"]), []).append(row)
    for (n, k, epilogue), rows in found.items():
        costs = [row["cost"] for row in rows]
        yield [f"{n} x {k}", epilogue, f"{max(row['ours_tflops'] for row in rows):.0f}",
               f"{max(row['best_tflops'] for row in rows):.0f}", percent(min(costs)),
               percent(statistics.median(costs)), percent(max(costs))]


def header(results):
    out = []
    for run in results["runs"]:
        d, limits = run["device"], run["limits"]
        out.append(f"* {run['date']}, {d['name']}, driver {d.get('driver_version', '?')}: bf16 "
                   f"product {limits['bf16_flops'] / 1e12:,.0f} TFLOP/s, copy "
                   f"{limits['copy_bytes_per_s'] / 1e12:.2f} TB/s; secondpass "
                   f"{run['version'] or '-'} ({(run['commit'] or 'commit unknown')[:12]}), "
                   + ", ".join(f"{k} {v}" for k, v in run["versions"].items())
                   + f"; {run['repeats']} repeats of {run['seconds']:g} s")
    return out


def markdown(results):
    parts = ["# secondpass and PyTorch on one GPU", "", *header(results), "",
             "Copies a second, medians; a ratio is the median of the rounds'. Start-up is apart, "
             "for every engine; equal hypotheses are scored as often as they come.", "",
             *table(["shape", "tokens", "measure", "secondpass", "B0", "ours is", "B1", "ours is",
                     "of the peak", "rounds"], rows(results)), "",
             *table(["figure", "required", "aim", "measured", ""], wanted(results)), "",
             "Difference of token log-probabilities from float64, nats:", "",
             *table(["shape", "tokens", "engine", "mean", "99th percentile", "largest", "same best",
                     "gate"],
                    parity_rows(results)), "",
             *table(["shape", "engine", "start-up, s", "tuning, s", "chosen"], start_rows(results)),
             "", "What a lookahead mask adds to the time of scoring:", "",
             *table(["shape", "tokens", *MASKS], mask_rows(results)), "",
             "What one algorithm for every number of rows adds to a product's time, over the best of "
             "cuBLASLt's proposals for each; TFLOP/s are of the fastest number of rows:", "",
             *table(["weight", "epilogue", "ours, TFLOP/s", "best", "least", "median", "most"],
                    product_rows(results))]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(markdown(json.loads(pathlib.Path(sys.argv[1]).read_text())), end="")
