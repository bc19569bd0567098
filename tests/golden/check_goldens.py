#!/usr/bin/env python3
"""Computes NumPy goldens anew and compares: they are what the oracle says, not what we say.

    check_goldens.py        needs the packages of tests/oracle/requirements.txt; exits 1 on a difference

Takes the shorter cases, since the oracle is written to be plain. The goldens of transformers (scores_base.json) are made anew by make_goldens.py alone.
"""
import json
import os
import sys

import make_goldens
import oracle_rounded


def committed(name):
    with open(os.path.join(make_goldens.HERE, name), encoding="utf-8") as file:
        return json.load(file)["models"]


def check(model, directory, longest):
    cases = [case for case in model["cases"] if len(case["ids"]) <= longest]
    asked = [{key: case[key] for key in ("ids", "word")} for case in cases]
    scored = make_goldens.by_numpy(directory, asked, model["methods"])
    difference = make_goldens.worst(cases, scored, model["methods"])
    print(f"{model['name']}: {len(asked)} cases, largest difference {difference:.2e}")
    if not difference <= 1e-9:
        sys.exit(f"{model['name']}: the golden is not what the oracle computes")


def check_deviation(model, values):
    """bf16 is cheap, and float32 is the same arithmetic for every model."""
    found = oracle_rounded.deviations(model, values, ["f32", "bf16"] if values else ["bf16"])
    for kind, methods in found.items():
        for method, numbers in methods.items():
            for ours, theirs in zip(model["deviation"][kind][method], numbers, strict=True):
                if not abs(ours - theirs) <= 0.1 * theirs:
                    sys.exit(f"{model['name']}: the {kind} deviation of {method} is {numbers}")


def check_steady(model):
    """The bits of dynamic models, and what of them and of the scores rounding may not change."""
    asked = {**model, "deviation": {"f32": {}, "bf16": {}},
             "cases": [{key: case[key] for key in ("ids", "word")} for case in model["cases"]]}
    oracle_rounded.add_steady(asked)
    for case, found in zip(model["cases"], asked["cases"], strict=True):
        if any(case[key] != value for key, value in found.items()):
            sys.exit(f"{model['name']}: the golden's bits are not what the oracle computes")


def main():
    for model in committed("scores_small.json"):
        check(model, os.path.join(make_goldens.ROOT, model["path"]), 8)
    variants = [(model, 30) for model in committed("scores_variants.json")]
    lookahead = [(model, 66) for model in committed("scores_lookahead.json")]
    for model, longest in variants + lookahead:
        with oracle_rounded.directory_of(model) as directory:
            check(model, directory, longest)
        check_steady(model)
        if "long" not in model["name"]:
            first = model["name"] == "gelu"
            check_deviation(model, oracle_rounded.VALUES["variants"] if first else 0)


if __name__ == "__main__":
    main()
