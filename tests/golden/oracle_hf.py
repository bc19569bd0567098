#!/usr/bin/env python3
"""Scores token ids with Hugging Face transformers on the CPU: the second reference.

    oracle_hf.py [--dtype float32|float64] MODEL CASES.json > SCORES.json

The files are those of oracle_numpy.py. cls needs a pooler and a classifier of one Linear, which is
what BertForSequenceClassification has. Needs torch and transformers.
"""
import argparse
import json
import sys

import torch
import transformers

CHUNK = 64


class Model:
    def __init__(self, directory, dtype):
        options = {"dtype": getattr(torch, dtype), "attn_implementation": "eager"}
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.directory, self.options, self.parts = directory, options, {}
        with open(f"{directory}/vocab.txt", encoding="utf-8") as file:
            pieces = file.read().split("\n")
        self.cls, self.sep, self.mask = (pieces.index(p) for p in ("[CLS]", "[SEP]", "[MASK]"))

    def part(self, kind):
        if kind not in self.parts:
            labels = {"num_labels": 1} if kind is transformers.BertForSequenceClassification else {}
            model = kind.from_pretrained(self.directory, **self.options, **labels)
            self.parts[kind] = model.eval()
        return self.parts[kind]

    def wrap(self, ids):
        return torch.tensor([self.cls, *ids, self.sep])

    def log_probs(self, copies):
        model = self.part(transformers.BertForMaskedLM)
        parts = [model(input_ids=chunk).logits for chunk in copies.split(CHUNK)]
        return torch.log_softmax(torch.cat(parts), -1)

    def masked(self, ids, word, group):
        copies = self.wrap(ids).repeat(len(ids), 1)
        for t in range(len(ids)):
            for j in range(t, len(ids)):
                if j == t or (group and word[j] == word[t]):
                    copies[t, j + 1] = self.mask
        found = self.log_probs(copies)
        return [float(found[t, t + 1, ids[t]]) for t in range(len(ids))]

    def score(self, method, ids, word):
        if method == "cls":
            model = self.part(transformers.BertForSequenceClassification)
            return float(model(input_ids=self.wrap(ids)[None]).logits[0, 0])
        if method == "maskless":
            found = self.log_probs(self.wrap(ids)[None])[0]
            return [float(found[t + 1, ids[t]]) for t in range(len(ids))]
        return self.masked(ids, word, method == "pll_l2r")


@torch.no_grad()
def score(model, case, methods):
    """As oracle_numpy.score."""
    found = {method: model.score(method, case["ids"], case["word"]) for method in methods}
    return {**case, **found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("model")
    parser.add_argument("cases")
    args = parser.parse_args()
    with open(args.cases, encoding="utf-8") as file:
        request = json.load(file)
    model = Model(args.model, args.dtype)
    cases = [score(model, case, request["methods"]) for case in request["cases"]]
    json.dump({**request, "cases": cases}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
