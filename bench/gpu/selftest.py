"""The peers checked on a CPU: what needs no GPU of bench/gpu.

usage: python bench/gpu/selftest.py     (a Python with torch, transformers, tokenizers, safetensors)

Batches hold every copy once and expand to what padding gives; every B1 that a CPU can run gives the
float64 reference's scores; the gate tells right from wrong; archives have the lengths they should.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch

import attention
import b0
import b1
import copies
import encoder
import engine
import parity
import report
import tune
import work

CPU = torch.device("cpu")
BUDGET = 640


def check(condition, what):
    if not condition:
        raise SystemExit(f"selftest: {what}")


def random_tokens(rng, count, longest):
    lengths = rng.integers(2, longest + 1, count)  # 2: an empty hypothesis
    return work.Tokens([[2, *rng.integers(5, 8000, n - 2).tolist(), 3] for n in lengths])


def check_plans(runner_of):
    """Copies that an engine expands are those of padded batches, whatever the batches."""
    rng = np.random.default_rng(3)
    for count, longest in ((1, 3), (40, 20), (90, 60), (3, 500)):
        tokens = random_tokens(rng, count, longest)
        expected = [(ids[mask > 0].tolist(), row, target)
                    for batch in copies.padded(tokens, 7, 0, 4)
                    for ids, mask, row, target in zip(*batch)]
        for even in (True, False):
            check(expanded(runner_of(even), tokens) == expected,
                  f"{count} hypotheses, even={even}: other copies")


def expanded(runner, tokens):
    loaded = runner.load(tokens)
    by_slot = {}
    runner.flat[: len(loaded.flat)] = loaded.flat
    for batch in loaded.plan.batches:
        inputs = engine.Inputs(batch, CPU)
        inputs.fill(batch, loaded)
        ids, place, rows, target = (t.numpy() for t in runner.expand(batch, inputs))
        check(len(ids) <= BUDGET, "a batch above its budget")
        for i in range(batch.slots):
            begin = batch.length * i if batch.length else int(inputs.cu[i])
            end = batch.length * (i + 1) if batch.length else int(inputs.cu[i + 1])
            check((place[begin:end] == np.arange(end - begin)).all(), "wrong places")
            by_slot[batch.at + i] = ids[begin:end].tolist(), rows[i] - begin, target[i]
    slots = loaded.plan.slot.tolist()
    check(len(set(slots)) == len(slots), "a slot holds two copies")
    return [by_slot[slot] for slot in slots]


def check_documents():
    """The tiles that Flex visits hold every pair of tokens of one document."""
    cu = torch.tensor([0, 3, 3 + 90, 93 + 200, 293 + 7, 300, 300, 300])
    document, begin, end = attention.documents(cu, 512)
    same = document[:, None] == document[None, :]
    inside = torch.arange(512)
    check(bool((same == ((inside >= begin[:, None]) & (inside < end[:, None]))).all()),
          "documents and their ends disagree")
    low, high = begin[::128] // 128, (end[127::128] - 1) // 128
    tile = inside // 128
    check(not bool((same & ((tile < low[tile][:, None]) | (tile > high[tile][:, None]))).any()),
          "a pair of one document outside the tiles")


def check_scores(folder, tokenizer, tokens, expected):
    weights = encoder.Weights(folder, work.SHAPES["tiny"], torch.float32, CPU)
    first = engine.Config(budget=BUDGET, packed="dense", graphs=False)
    for change in (dict(), dict(even=False), dict(attend=((0, "math"),)), dict(trim=True),
                   dict(attend=((0, "flash"), (20, "any")))):
        config = first._replace(**change)
        logp = engine.Engine(weights, config, tokenizer.mask).logp(tokens)
        worst = np.abs(logp - expected).max()
        check(worst <= 2e-5, f"B1 ({config.text()}) is off by {worst}")


def check_files(folder, scratch, mix, tokenizer):
    """Both peers write the same file from end to end, with the scores of the kernel path."""
    limits = tune.Limits(compile=False, seconds=0.01, budgets=(1920,))
    peers = [b0.B0(folder, tokenizer, CPU),
             b1.B1(folder, work.SHAPES["tiny"], tokenizer, CPU, limits)]
    written = []
    for peer in peers:
        peer.prepare(mix, 1, 0.01)
        out = scratch / peer.name
        got = peer.end_to_end(mix, 2 * mix.lists, out)
        written.append([json.loads(line) for line in out.read_text().splitlines()])
        check(got["copies"] == sum(h["n"] for line in written[-1] for h in line["hyps"]),
              f"{peer.name} counts other copies")
    for left, right in zip(*written, strict=True):
        check(left["id"] == right["id"], "other ids")
        for a, b in zip(left["hyps"], right["hyps"], strict=True):
            check(a["n"] == b["n"] and abs(a["pll"] - b["pll"]) < 0.05 * max(a["n"], 1),
                  f"B0 {a}, B1 {b}")


def check_gate(expected, tokens, lists):
    rng = np.random.default_rng(1)
    size = rng.exponential(1e-4, len(expected))
    usual, same, worse = (parity.compare(expected + error, expected, tokens, lists)
                          for error in (size, -rng.permutation(size), 2 * rng.permutation(size)))
    broken = expected.copy()
    broken[5] = np.nan
    check(not parity.verdict(same, usual), "the gate refuses an equal")
    check(parity.verdict(worse, usual), "the gate passes twice the error")
    check(parity.verdict(parity.compare(broken, expected, tokens, lists), usual),
          "the gate passes NaN")


def check_work(scratch, lists, tokenizer):
    works = [work.Work(name, scratch, lists) for name in ("24", "mix")]
    for one in works:
        lines = [json.loads(line) for line in open(one.archive(50))]
        check(len({line["id"] for line in lines}) == len(lines) >= 50, "ids come twice")
        texts = [h["text"] for line in lines[: len(lists)] for h in line["hyps"]]
        check(texts == one.texts(1), "the archive is not the block")
    fixed = tokenizer.tokens(works[0].texts(1)).length
    check((fixed == work.FIXED).all(), "not all of 24 tokens")
    want = tokenizer.tokens([text for texts in lists for text in texts]).length
    mixed = tokenizer.tokens(works[1].texts(1)).length
    check((mixed == want).all(), "other lengths than the sample")
    return works[1]


def check_report():
    run = {"date": "d", "commit": None, "version": "v", "versions": {}, "repeats": 1,
           "seconds": 1.0, "device": {"name": "x"},
           "limits": {"bf16_flops": 1e12, "copy_bytes_per_s": 1e12}}
    rate = [{"copies_per_s": 8.0, "flops_per_s": 7e11}]
    measured = {"secondpass": rate, "B0": [{"copies_per_s": 2.0}], "B1": [{"copies_per_s": 4.0}]}
    shape = {"work": {"mix": {"kernel": measured, "end_to_end": measured}}}
    text = report.markdown({"runs": [run], "shapes": {"base": shape}})
    for wanted in ("| 4.00x |", "| 2.00x |", "70.0 %", "aim reached", "not measured"):
        check(wanted in text, f"the report has no '{wanted}'")


def main():
    torch.set_num_threads(1)  # the work is tiny
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        folder = work.model(scratch, "tiny")
        tokenizer = work.Tokenizer(folder)
        weights = encoder.Weights(folder, work.SHAPES["tiny"], torch.float32, CPU)
        check_plans(lambda even: engine.Engine(weights, engine.Config(
            budget=BUDGET, even=even, packed="dense", graphs=False), 4))
        check_documents()
        lists = [texts[:4] for texts in work.sample()[:6]]
        mix = check_work(scratch, lists, tokenizer)
        tokens = tokenizer.tokens([text for texts in lists for text in texts])
        expected = parity.reference(folder, tokens, tokenizer, CPU)
        check_scores(folder, tokenizer, tokens, expected)
        check_gate(expected, tokens, len(lists))
        check_files(folder, scratch, mix, tokenizer)
        check_report()
    print("selftest: passed")


if __name__ == "__main__":
    main()
