#!/usr/bin/env python3
"""Writes train_gradients.json, losses and gradients of random models, and train_steps.json, what a few
steps make of one, from oracle_train.py.

    make_train_goldens.py

README.md describes the file. Needs NumPy and PyTorch (requirements.txt).
"""
import json
import os
import random
import tempfile

import torch

import oracle_train
import random_model

HERE = os.path.dirname(os.path.abspath(__file__))
CLS, SEP, MASK = 2, 3, 4
SMALL = dict(layers=2, hidden=26, heads=2, ffn=40, vocab=60, positions=24, arch="both", pooler=True)
RUN = dict(objective="mlm", beta=1.0, detach=False, distill_weight=0.0, penalty="none", average=0.0,
           costs=[1.0, 0.0, 0.0, 2.0], tau=1.0, weight=0.0)
SIGNS = (2654435761, 2246822519)


def looking(rule, **given):
    return {**SMALL, **given, "config_extra": '"lookahead": ' + json.dumps(rule)}


def dynamic(rule, **given):
    reaches = rule.get("layers", [rule["max"]])
    return looking({"policy": "dynamic", **rule}, scheduler=",".join(map(str, reaches)),
                   scheduler_hidden=rule.get("hidden_size", 0), **given)


MLM, DISTILL = dict(objective="mlm"), dict(objective="distill", distill_weight=1.0)
MWER, MWED = dict(objective="mwer", beta=0.8), dict(objective="mwed", beta=0.6)


def penalised(objective, kind, weight, **given):
    return {**objective, "penalty": kind, "weight": weight, "tau": 1.5, **given}


MODELS = {
    "full": ({**SMALL, "seed": 101},
             [MLM, DISTILL, MWER, MWED, {**MWED, "detach": True}, {**MWER, "distill_weight": 0.01},
              {**MWED, "distill_weight": 0.01}]),
    "causal-tanh": (looking({"policy": "causal", "cls": "last"}, hidden=32, heads=4, ffn=64,
                            act="gelu_new", seed=102), [MLM, DISTILL, MWED]),
    "layerwise": (looking({"policy": "layerwise", "max": 1}, seed=103), [MLM, MWER]),
    "chunked-left": (looking({"policy": "chunked", "chunk": 3, "left": 4}, seed=104), [MLM, MWED]),
    "chunked-hidden": (looking({"policy": "chunked", "chunk": 3, "cls_view": "hidden"}, seed=105),
                       [MLM, MWER]),
    "untied-dense-relu": ({**SMALL, "decoder": "untied", "pooler": False, "classifier_hidden": 1,
                           "act": "relu", "config_extra": '"classifier_act": "gelu"', "seed": 106},
                          [MLM, MWER]),
    "soft": (dynamic({"max": 3}, seed=107),
             [{**MLM, "tau": 2.0}, penalised(MLM, "naive", 2.0),
              penalised(MWER, "relative-ema", 0.5, average=1.7), {**DISTILL, "tau": 0.7}]),
    "soft-span": (dynamic({"max": 4, "cells": "span", "hidden_size": 12, "left": 3}, seed=108),
                  [penalised(MLM, "relative-hinge", 0.7, average=0.9),
                   penalised(MLM, "computational", 0.3, costs=[1.0, 0.125, 0.25, 2.5]),
                   {**MWED, "tau": 3.0}]),
    "soft-each": (dynamic({"max": 3, "layers": [3, 0, 2], "hidden_size": 10, "hidden_act": "gelu",
                           "cls": "last"}, layers=3, act="gelu_new", seed=109),
                  [penalised(MLM, "computational", 0.4, costs=[1.0, 0.0, 0.0, 3.0]),
                   penalised(MWED, "naive", 1.0)]),
    "soft-left": (dynamic({"max": 2, "left": 2}, seed=110),
                  [penalised(MLM, "relative-ema", 0.9, average=2.2),
                   penalised(DISTILL, "computational", 0.4, costs=[1.0, 0.2, 0.0, 2.2])]),
    "soft-last-layer": (dynamic({"max": 2, "cls_view": "last-layer"}, seed=111),
                        [penalised(MLM, "naive", 1.0),
                         penalised(MWER, "relative-hinge", 0.6, average=0.5)]),
    "soft-hidden": (dynamic({"max": 2, "cls": "last", "cls_view": "hidden"}, seed=112),
                    [penalised(MLM, "relative-hinge", 0.6, average=0.5),
                     penalised(MWED, "computational", 0.5)]),
    "soft-long": (dynamic({"max": 5}, positions=140, seed=113),
                  [penalised(MLM, "computational", 0.1, costs=[1.0, 0.05, 0.0, 3.0])]),
}


def sequences(draw, lengths, vocab):
    return [[CLS, *(draw.randrange(5, vocab) for _ in range(n)), SEP] for n in lengths]


def text_batch(draw, options):
    """Targets: (position, id). One sequence has none, and a target can be shown as it is."""
    lengths = (70, 129, 3) if options["positions"] > 64 else (1, 12, 7, 4, 19)
    whole = sequences(draw, lengths, options["vocab"])
    shown, targets = [list(ids) for ids in whole], []
    for ids, seen in zip(whole, shown, strict=True):
        chosen = [] if len(ids) == 6 else [i for i in range(1, len(ids) - 1) if draw.random() < 0.3]
        targets.append([(i, ids[i]) for i in chosen])
        for i in chosen:
            seen[i] = draw.choice((MASK, MASK, draw.randrange(5, options["vocab"]), ids[i]))
    return {"ids": shown, "targets": targets}


def lists_batch(draw, options):
    """Numbers are eighths, which a float holds. Of five lists one has a single hypothesis, one no errors;
    an empty hypothesis, and missing numbers (null)."""
    lists = [3, 1, 4, 2, 3]
    count = sum(lists)
    first = [-draw.randrange(20, 90) / 8 for _ in range(count)]
    errors = [float(draw.randrange(0, 6)) for _ in range(count)]
    teacher = [-draw.randrange(0, 60) / 8 for _ in range(count)]
    errors[0], errors[1] = 1.0, 3.0
    errors[8:10] = [0.0, 0.0]
    first[5], errors[11], teacher[2], teacher[3] = None, None, None, None
    lengths = [draw.randrange(1, 12) for _ in range(count)]
    lengths[6] = 0
    return {"ids": sequences(draw, lengths, options["vocab"]), "lists": lists, "first": first,
            "errors": errors, "teacher": teacher}


def short(value):
    return float(f"{value:.9g}")


def summary(gradient):
    """Norm, two sums of all entries with fixed signs, and four entries."""
    flat = gradient.flatten()
    index = torch.arange(1, len(flat) + 1, dtype=torch.int64)
    sums = [(flat * (1 - 2 * (index * factor % 2 ** 32 // 2 ** 31))).sum().item() for factor in SIGNS]
    entries = [flat[j * (len(flat) - 1) // 3].item() for j in range(4)]
    return [short(v) for v in (flat.norm().item(), *sums, *entries)]


def run_model(model, run, batch):
    names = list(model.tensors)
    loss, penalty = oracle_train.loss(model, run, batch)
    whole = loss if penalty is None else loss + run["weight"] * penalty
    found = torch.autograd.grad(whole, [model.tensors[n] for n in names], allow_unused=True)
    zeros = [torch.zeros_like(model.tensors[n]) for n in names]
    kept = {key: value for key, value in run.items() if value != RUN[key]}
    return {**kept, "loss": short(loss.item()), "penalty_value": short(penalty.item() if penalty else 0),
            "gradients": [summary(z if g is None else g) for g, z in zip(found, zeros, strict=True)]}


def make_model(name, given, runs):
    options = {**random_model.DEFAULTS, **given}
    draw = random.Random(options["seed"])
    batches = {"text": text_batch(draw, options), "lists": lists_batch(draw, options)}
    with tempfile.TemporaryDirectory() as directory:
        random_model.write(directory, **options)
        model = oracle_train.Model(directory)
    out = []
    for given_run in runs:
        run = {**RUN, **given_run}
        out.append(run_model(model, run, batches["text" if run["objective"] == "mlm" else "lists"]))
        print(f"{name} {run['objective']} {run['penalty']}: {out[-1]['loss']:.6g} "
              f"{out[-1]['penalty_value']:.6g}")
    return {"name": name, "random": given, "batches": batches, "tensors": list(model.tensors),
            "runs": out}


STEPS = dict(steps=5, rate=2e-3, end_rate=2e-4, warmup=2, weight_decay=0.05, clip=1.0, beta1=0.8,
             beta2=0.95, eps=1e-3, momentum=0.7, tau_end=3.0)
TRAINED = {
    "full": (MODELS["full"][0], {**MWER, **STEPS}),
    "soft": (MODELS["soft"][0], {**penalised(MWED, "relative-ema", 0.5), **STEPS}),
}


def text_of(draw, length):
    """Words of one letter, which are tokens 5 to 30 of the made vocabulary."""
    return [chr(ord("a") + draw.randrange(26)) for _ in range(length)]


def archive(draw):
    """Utterances with hypotheses near their references."""
    out = []
    for u in range(4):
        ref, hyps = text_of(draw, 4 + u), []
        for _ in range(2 + u % 3):
            words = [w if draw.random() < 0.7 else draw.choice("xyz") for w in ref]
            words = words[:draw.randrange(3, len(words) + 1)]
            hyps.append({"text": " ".join(words), "score": -draw.randrange(8, 80) / 8})
        out.append({"id": f"u{u}", "ref": " ".join(ref), "hyps": hyps})
    return out


def batch_of(utterances):
    hyps = [(h, u) for u in utterances for h in u["hyps"]]
    return {"ids": [[CLS, *(5 + ord(w) - ord("a") for w in h["text"].split()), SEP] for h, _ in hyps],
            "lists": [len(u["hyps"]) for u in utterances], "first": [h["score"] for h, _ in hyps],
            "errors": [float(oracle_train.word_errors(h["text"].split(), u["ref"].split()))
                       for h, u in hyps],
            "teacher": [None] * len(hyps)}


def make_trained(name, given, run):
    options, run = {**random_model.DEFAULTS, **given}, {**RUN, **run}
    utterances = archive(random.Random(options["seed"]))
    with tempfile.TemporaryDirectory() as directory:
        random_model.write(directory, **options)
        model = oracle_train.Model(directory)
    before = {key: tensor.detach().clone() for key, tensor in model.tensors.items()}
    losses = oracle_train.train(model, run, batch_of(utterances))
    changes = [summary(tensor.detach() - before[key]) for key, tensor in model.tensors.items()]
    print(f"{name}: loss and norm {losses}")
    return {"name": name, "random": given, "run": run, "archive": utterances,
            "tensors": list(model.tensors), "losses": [[short(v) for v in l] for l in losses],
            "changes": changes}


def save_trained(models):
    path = os.path.join(HERE, "train_steps.json")
    with open(path, "w", encoding="utf-8") as out:
        out.write('{"about": "PyTorch float64, AdamW on random models",\n "models": [\n'
                  + ",\n".join(json.dumps(model) for model in models) + "\n]}\n")
    print(f"{path}: {os.path.getsize(path)} bytes")


def save(models):
    """One run a line."""
    path = os.path.join(HERE, "train_gradients.json")
    with open(path, "w", encoding="utf-8") as out:
        out.write('{"about": "PyTorch float64, losses and gradients of random models",\n'
                  ' "defaults": ' + json.dumps(RUN) + ',\n "models": [\n')
        for i, model in enumerate(models):
            head = {key: value for key, value in model.items() if key != "runs"}
            lines = ",\n  ".join(json.dumps(run, separators=(",", ":")) for run in model["runs"])
            end = "]}" + ("," if i + 1 < len(models) else "")
            out.write(json.dumps(head)[:-1] + ', "runs": [\n  ' + lines + end + "\n")
        out.write("]}\n")
    print(f"{path}: {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    save_trained([make_trained(name, given, run) for name, (given, run) in TRAINED.items()])
    save([make_model(name, given, runs) for name, (given, runs) in MODELS.items()])
