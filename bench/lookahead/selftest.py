#!/usr/bin/env python3
"""What make_model.py writes does what it says, by the oracle of tests/golden and by the engine.

usage: selftest.py --program secondpass     (needs NumPy; prints SKIPPED: without it)
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("SKIPPED: no NumPy here (Debian package python3-numpy)")
    sys.exit(0)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "golden"))

import oracle_numpy  # noqa: E402
import oracle_steady  # noqa: E402
import random_model  # noqa: E402

LAYERS = 2
TEXT = ["the cat sat on a mat", "she sells sea shells by the shore", "a quick brown fox",
        "of the many words of this text a few look ahead", "but most of them do not"] * 4


def check(condition, what):
    if not condition:
        raise SystemExit(f"selftest: {what}")


class Bench:
    """Models are made in one folder from one source, whose vocabulary is letters and word pieces."""

    def __init__(self, folder, program):
        self.folder, self.program, self.source = folder, program, os.path.join(folder, "source")
        vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "of"]
        vocab += sorted({word for line in TEXT for word in line.split()} - set(vocab))
        vocab += [f"unused{i}" for i in range(100 - len(vocab))]
        self.vocab, self.text = vocab, os.path.join(folder, "text")
        self.write("vocab", vocab)
        self.write("text", TEXT)
        random_model.write(self.source, hidden=64, layers=LAYERS, seed=3,
                           vocab_file=os.path.join(folder, "vocab"))

    def write(self, name, lines):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)

    def run(self, name, options, source=None):
        out = os.path.join(self.folder, name)
        done = subprocess.run([sys.executable, "-B", os.path.join(HERE, "make_model.py"),
                               source or self.source, out, *options.split()],
                              capture_output=True, text=True, check=False)
        return out, done

    def make(self, name, options):
        out, done = self.run(name, options + f" --text {self.text}")
        check(done.returncode == 0, f"{options}: {done.stderr}")
        return oracle_numpy.Model(out)

    def refuse(self, options, reason, source=None):
        out, done = self.run("refused", options, source)
        check(done.returncode == 2 and reason in done.stderr,
              f"{options} should exit 2 with '{reason}': {done.returncode}, {done.stderr}")
        check(not os.path.exists(out), f"{options}: something was written")

    def ids(self, line):
        return [self.vocab.index(word) for word in line.split()]

    def bits(self, model):
        """Of every line and layer: the ids with [CLS] and [SEP], and which decisions open (S, R)."""
        for line in sorted(set(TEXT)):
            case = {"ids": self.ids(line), "word": list(range(len(line.split())))}
            for _, made in oracle_steady.run(model, case, "maskless")[0]:
                yield model.wrap(case["ids"]), oracle_steady.clipped(made) >= 0

    def maskless(self, model):
        return [oracle_numpy.Model.maskless(model, self.ids(line), None) for line in sorted(set(TEXT))]


def check_constants(bench):
    """All open is layerwise, all shut is causal, in both kinds of cells."""
    layerwise = bench.maskless(bench.make("layerwise", "--policy layerwise --max 3"))
    causal = bench.maskless(bench.make("causal", "--policy causal"))
    check(layerwise != causal, "the masks make no difference")
    for cells in ("independent", "span --tau 0.5"):
        dynamic = f"--policy dynamic --max 3 --cells {cells} --scheduler "
        check(bench.maskless(bench.make("open", dynamic + "open")) == layerwise, f"{cells}: open")
        check(bench.maskless(bench.make("shut", dynamic + "shut")) == causal, f"{cells}: shut")


def check_density(bench):
    for extra in ("", " --cells span --tau 2", " --hidden-size 32"):
        model = bench.make("random", "--policy dynamic --max 3 --density 0.2 --seed 2" + extra)
        opened = np.concatenate([bits.ravel() for _, bits in bench.bits(model)])
        inside = sum(max(0, len(ids) - 1 - r) for ids, _ in bench.bits(model) for r in range(3))
        share = opened.sum() / inside
        check(0.15 < share < 0.25, f"density 0.2{extra} opens {share}")


def check_words(bench):
    options = "--policy dynamic --max 2 --scheduler words --words the,of --layers "
    wanted = bench.ids("the of")
    for layers, extra in (("2,2", ""), ("2,1", " --cells span"), ("1,2", " --hidden-size 96")):
        for ids, bits in bench.bits(bench.make("words", options + layers + extra)):
            i, r = np.indices(bits.shape)
            expected = np.isin(ids, wanted)[:, None] & (i + r + 1 < len(ids))
            check((bits == expected).all(), f"words{extra}: other rows look ahead")


def check_copy(bench):
    bench.make("copy", "--policy dynamic --max 2 --layers 0,2 --hidden-size 7")
    before, after = (oracle_numpy.raw_safetensors(os.path.join(path, "model.safetensors"))
                     for path in (bench.source, os.path.join(bench.folder, "copy")))
    check(after[:len(before)] == before, "weights of the source changed")
    added = {name: shape for name, _, shape, _ in after[len(before):]}
    base = "bert.encoder.layer.1.lookahead."
    check(added == {base + "hidden.weight": [7, 64], base + "hidden.bias": [7],
                    base + "dense.weight": [2, 7], base + "dense.bias": [2]}, f"tensors {added}")


def check_refusals(bench):
    dynamic = "--policy dynamic --max 2 "
    bench.refuse("--policy layerwise", "--max or --layers")
    bench.refuse("--policy chunked", "--chunk is needed")
    for policy in ("layerwise", "dynamic"):
        for reach in (33, 0, -1):
            bench.refuse(f"--policy {policy} --max {reach}",
                         f"--max is {reach}: a whole number from 1 to 32")
    bench.refuse("--policy dynamic --layers 1,2,3", "takes 2 values")
    bench.refuse("--policy dynamic --max 2 --layers 1,3", "takes 2 values from 0 to --max")
    bench.refuse("--policy dynamic --layers 0,0", "no layer looks ahead")
    for layers, text in (("1,x", "x"), ("1,", ""), ("1,33", "33"), ("1,-1", "-1"), ("1,2.0", "2.0")):
        bench.refuse(f"--policy layerwise --layers {layers}",
                     f"--layers takes whole numbers from 0 to 32 separated by commas, not '{text}'")
    for options in ("causal --max 2", "causal --layers 1,1", "full --cls last", "full --left 2",
                    "full --cls-view hidden", "layerwise --max 2 --chunk 2", "chunked --chunk 2 --max 2",
                    "causal --cells span", "layerwise --max 2 --tau 2", "causal --hidden-size 8",
                    "chunked --chunk 3 --hidden-act relu"):
        bench.refuse("--policy " + options, "does not go with --policy " + options.split()[0])
    positions = oracle_numpy.Model(bench.source).config["max_position_embeddings"]
    for given in (0, -1, positions + 1):
        bench.refuse(f"--policy chunked --chunk {given}", f"--chunk is {given}: a whole number from 1 to")
        bench.refuse(f"--policy causal --left {given}", f"--left is {given}: a whole number from 1 to")
    bench.refuse(dynamic + "--tau 3", "--tau goes with --cells span")
    for tau in ("-1", "0", "nan", "inf", "1e39", "1e-60"):
        bench.refuse(dynamic + "--cells span --tau " + tau, "a number over 0 is needed")
    bench.refuse(dynamic + "--hidden-act relu", "--hidden-act goes with --hidden-size")
    for size in (0, 65537):
        bench.refuse(f"{dynamic} --hidden-size {size}", "a whole number from 1 to 65536")
    for density in ("1.5", "-0.1", "nan"):
        bench.refuse(dynamic + "--density " + density, "a share from 0 to 1")
    bench.refuse(dynamic + "--sentences 0", "--sentences takes a number from 1")
    bench.refuse(dynamic + "--scheduler words", "--words goes with")
    bench.refuse(dynamic + "--scheduler words --words xyz", "not one piece")
    bench.refuse(dynamic + f"--scheduler words --words fox --text {os.devnull}", "has no text")
    narrow = os.path.join(bench.folder, "narrow")
    random_model.write(narrow, hidden=4, heads=1, ffn=8,
                       vocab_file=os.path.join(bench.folder, "vocab"))
    bench.refuse(dynamic + "--scheduler words --words the,cat,shore,brown,not,few",
                 "no linear separation", narrow)
    _, done = bench.run("source", "--policy causal")
    check(done.returncode == 2 and "would be overwritten" in done.stderr, "the source was overwritten")


def check_engine(bench):
    """The engine reads what was written and scores as the oracle does."""
    archive = os.path.join(bench.folder, "archive.jsonl")
    with open(archive, "w", encoding="utf-8") as file:
        for i, line in enumerate(sorted(set(TEXT))):
            print(json.dumps({"id": str(i), "hyps": [{"text": line, "score": 0.0}]}), file=file)
    edges = {"causal-by-layers": "--policy layerwise --layers 0,0", "chunk": "--policy chunked --chunk 1"}
    for name, options in edges.items():
        bench.make(name, options)
    for name in ("causal", *edges, "layerwise", "open", "shut", "random", "words", "copy"):
        path = os.path.join(bench.folder, name)
        out = subprocess.run([bench.program, "score", "--model", path, "--method", "pll", "--dtype",
                              "f32", "--per-token", "--out", "-", archive],
                             capture_output=True, text=True, check=False)
        check(out.returncode == 0, f"{name}: {out.stderr}")
        model = oracle_numpy.Model(path)
        for line, scored in zip(sorted(set(TEXT)), out.stdout.splitlines(), strict=True):
            want = model.pll(bench.ids(line), list(range(len(line.split()))))
            off = np.abs(np.subtract(json.loads(scored)["hyps"][0]["logp"], want)).max()
            check(off <= 1e-4, f"{name}: the engine is off by {off}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, parser.parse_args().program)
        for part in (check_constants, check_density, check_words, check_copy, check_refusals,
                     check_engine):
            part(bench)
    print("selftest: passed")


if __name__ == "__main__":
    main()
