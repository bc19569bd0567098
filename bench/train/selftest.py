#!/usr/bin/env python3
"""What bench/train.sh takes for granted, checked.

usage: selftest.py     (what needs PyTorch and transformers is left out where they are missing)

Samples and steps hold every sentence once and keep their sizes; tables say what results hold; the
packed trainer has the loss and gradients of transformers, whatever its groups, and its models go to
files and back.
"""

import json
import pathlib
import tempfile

import compare
import work


def check(condition, what):
    if not condition:
        raise SystemExit(f"selftest: {what}")


def check_samples():
    texts = [f"s{i}" for i in range(1000)]
    lengths = [1 + i * 7 % 60 for i in range(1000)]
    for share in (0, 0.5, 1):
        made = work.samples(texts, lengths, share, 64, 3)
        back = " ".join(text for text, _ in made).split()
        check(back == [t for t, n in zip(texts, lengths) if n <= 62], "sentences lost or moved")
        tokens = sum(n - 2 for _, n in made)
        check(tokens == sum(n for n in lengths if n <= 62), "tokens lost")
        check(all(2 < n <= 64 for _, n in made), "a sample beyond the longest")
        joined = sum(" " in text for text, _ in made)
        check((joined == 0) == (share == 0), f"{joined} joined at a share of {share}")
    check(work.samples(["a", "b"], [3, 3], 1, 8, 1) == [("a b", 8)], "room for both")
    check(work.samples(["a", "b"], [3, 4], 1, 8, 1) == [("a", 5), ("b", 6)], "no room for both")


def check_steps():
    lengths = [3 + i * 13 % 50 for i in range(200)]
    made = work.steps(lengths, 500, 1, 30)
    flat = [i for step in made for i in step]
    check(sorted(flat[:200]) == list(range(200)), "an epoch is no permutation")
    check(all(0 < sum(lengths[i] for i in step) <= 500 for step in made), "a step beyond its tokens")
    check(len(made) == 30 and made == work.steps(lengths, 500, 1, 30), "steps are not repeatable")
    check(work.steps([9], 5, 1, 2) == [[0], [0]], "a sample that is longer than a step")
    for step in made:
        cut = work.batches(step, lengths, 200)
        check([i for b in cut for i in b] == step, "a batch lost samples")
        check(all(len(b) * max(lengths[i] for i in b) <= 200 for b in cut), "a batch beyond its budget")


def check_split():
    train, held = work.split(list(range(10)), 5)
    check((train, held) == ([0, 1, 2, 3, 5, 6, 7, 8], [4, 9]), "another split")


def check_text(folder):
    file = folder / "text"
    file.write_text('a  b\n\n{"hyps": [{"text": "C"}, {"text": "D"}]}\n', encoding="utf-8")
    check(list(work.sentences(file)) == ["a b", "C"], "sentences of a file")


def check_table(folder):
    log = folder / "steps.jsonl"
    log.write_text("\n".join(json.dumps(line) for line in (
        dict(step=1, loss=9, tokens=10, seconds=100), dict(eval=True, step=1, loss=1),
        dict(step=2, loss=8, tokens=40, seconds=1), dict(step=3, loss=7, tokens=60, seconds=1))))
    ours = compare.read_steps(log)
    check(ours["tokens_per_second"] == 50 and ours["loss"] == [8, 7], "the log's rate")
    theirs = dict(ours, tokens_per_second=20)
    rounds = {compare.OURS: [ours], compare.BEST: [theirs]}
    compare.check_equal_work(rounds)
    for key, value in (("tokens", 80), ("loss", [3, 3])):
        try:
            compare.check_equal_work({**rounds, compare.BEST: [dict(theirs, **{key: value})]})
        except SystemExit:
            continue
        check(False, f"other {key} are compared")
    text = compare.table(dict(date="d", cpu="c", threads=2, rounds=1, steps=2, step_tokens=50,
                              versions={}, shapes={"x": dict(rounds=rounds, options={})}))
    check(f"| x | {compare.BEST} | 20 | 2.50x |" in text, "the table's ratio")


# ---- with PyTorch ----


def sequences(words, count):
    import numpy as np
    draw = np.random.default_rng(5)
    ids = [draw.integers(5, 8000, n).tolist() for n in draw.integers(1, 40, count)]
    out = [work.masked(i, words, 8192, 0.3, (0.8, 0.1), draw) for i in ids]
    for tokens, (seen, rows, targets) in zip(ids, out):
        check(len(seen) == len(tokens) + 2 and (rows >= 1).all() and (rows <= len(tokens)).all(),
              "a target outside its sentence")
        check([tokens[r - 1] for r in rows] == targets and len(targets) >= 1, "other targets")
        kept = [t for r, t in enumerate(tokens, 1) if r not in rows]
        check([t for r, t in enumerate(seen[1:-1], 1) if r not in rows] == kept, "unmasked tokens changed")
    return out


def reference(folder, hf, batch):
    """Loss and gradients of transformers, f32."""
    import torch
    peer = hf(dict(model=str(folder), rate=1e-3), {})
    total = (batch["labels"] >= 0).sum()
    loss = peer.model(**batch).loss
    loss.backward()
    grads = {name: p.grad for name, p in peer.model.named_parameters() if p.grad is not None}
    return float(loss.detach()), grads, int(total), torch


def check_packed(folder):
    import packed
    import peer
    words = work.Words(folder)
    made = sequences(words, 30)
    loss, grads, total, torch = reference(folder, peer.HuggingFace,
                                          peer.HuggingFace.padded(made, words))
    for groups in (0, 1, 4, 100):
        for attend in (None, packed.plain_attention):
            model = packed.Encoder(folder, work.SHAPES["tiny"])
            model.attend = attend or model.attend
            got = model(packed.Batch(made, groups)) / total
            got.backward()
            check(abs(float(got) - loss) <= 1e-5 * loss, f"{groups} groups: loss {got}, not {loss}")
            for name, grad in grads.items():
                if ".query." in name:
                    ours = model.get(name.replace("attention.self.query", "qkv")).grad
                    ours = ours[:len(grad)]
                elif ".self." in name:
                    continue
                else:
                    ours = model.get(name).grad
                worst = float((ours - grad).abs().max())
                check(worst <= 1e-5 * max(1, float(grad.abs().max())), f"{name} is off by {worst}")


def check_training(folder, scratch):
    import loss_parity
    import packed
    words = work.Words(folder)
    made = sequences(words, 30)
    for precision in ("f32", "autocast", "bf16"):
        model = packed.Encoder(folder, work.SHAPES["tiny"])
        before = model.tensors()
        training = packed.Training(model, precision, lambda step: 1e-3)
        losses = [training.step([packed.Batch(made[:20], 4), packed.Batch(made[20:], 4)])
                  for _ in range(8)]
        check(losses[-1] < losses[0] - 0.2, f"{precision}: it does not learn: {losses}")
        loss_parity.save(model, folder, scratch / precision)
        again = packed.Encoder(scratch / precision, work.SHAPES["tiny"]).tensors()
        check(set(again) == set(before), "other tensors in the file")
        check(all((again[n] == t).all() for n, t in model.tensors().items()), "a tensor changed in the file")


def check_schedule():
    import argparse
    import loss_parity
    args = argparse.Namespace(rate=2.0, end_rate=1.0, warmup=4, steps=8, decay="linear")
    rate = loss_parity.schedule(args)
    check([rate(s) for s in (1, 4, 6, 8)] == [0.5, 2.0, 1.5, 1.0], "the learning rate")
    args.decay = "cosine"
    check(abs(loss_parity.schedule(args)(6) - 1.5) < 1e-12, "half of a cosine")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        check_samples()
        check_steps()
        check_split()
        check_text(scratch)
        check_table(scratch)
        try:
            import torch  # noqa: F401
            import transformers  # noqa: F401
        except ImportError:
            print("ok, without PyTorch")
            return
        folder = work.write_model(scratch / "tiny", "tiny")
        check_packed(folder)
        check_training(folder, scratch)
        check_schedule()
    print("ok")


if __name__ == "__main__":
    main()
