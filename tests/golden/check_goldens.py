#!/usr/bin/env python3
"""Computes NumPy goldens anew and compares: they are what the oracle says, not what we say.

    check_goldens.py        needs the packages of tests/oracle/requirements.txt; exits 1 on a difference

Takes the shorter cases, since the oracle is written to be plain. The goldens of transformers (scores_base.json) are made anew by make_goldens.py alone.
"""
import json
import os
import sys
import tempfile

import make_goldens
import random_model


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


def main():
    for model in committed("scores_small.json"):
        check(model, os.path.join(make_goldens.ROOT, model["path"]), 8)
    for model in committed("scores_variants.json"):
        with tempfile.TemporaryDirectory() as directory:
            random_model.write(directory, **{**random_model.DEFAULTS, **model["random"]})
            check(model, directory, 30)


if __name__ == "__main__":
    main()
