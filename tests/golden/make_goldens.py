#!/usr/bin/env python3
"""Writes the score goldens of this folder and checks the two oracles against each other.

    make_goldens.py [small] [variants] [lookahead] [base]      (all of them without a name)

README.md describes the files. Needs the packages of requirements.txt. oracle_rounded.py comes after it.
"""
import io
import json
import os
import random
import sys
import tempfile

import tokenizers
import zstandard

import oracle_numpy
import random_model

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
MASKED = ["pll", "pll_l2r", "maskless"]
BASE = dict(layers=12, hidden=768, heads=12, ffn=3072, vocab=30522, positions=512, arch="both",
            pooler=True, seed=20)
BASE_LENGTHS = (1, 3, 7, 12, 20, 30)
# With [CLS] and [SEP] these are 3, 63, 64, 65, 66, 127 to 130 and 172 rows.
LONG_LENGTHS = (1, 2, 61, 62, 63, 64, 125, 126, 127, 128, 170)
VARIANTS = {
    "gelu": dict(),
    "gelu-new": dict(act="gelu_new", seed=2),
    "gelu-pytorch-tanh": dict(act="gelu_pytorch_tanh", seed=3),
    "relu": dict(act="relu", seed=4),
    "eps": dict(eps="0.01", seed=5),
    "head-dim-26": dict(hidden=104, heads=4, ffn=200, seed=6),
    "head-dim-1": dict(hidden=8, heads=8, ffn=24, seed=7),
    "one-head-odd-sizes": dict(hidden=37, heads=1, ffn=53, vocab=131, type_vocab=1, seed=8),
    "deep": dict(layers=7, hidden=64, heads=8, ffn=128, seed=9),
    "untied": dict(decoder="untied", seed=10),
    "copied-decoder-f16": dict(decoder="copy", dtype="f16", seed=11),
    "other-names-bf16": dict(dtype="bf16", gamma_beta=True, no_prefix=True, extra=True, shards=3,
                             seed=12),
    "long": dict(positions=172, vocab=300, seed=13),
    "cls-raw": dict(arch="cls", seed=14),
    "cls-pooled": dict(arch="cls", pooler=True, seed=15),
    "cls-raw-dense": dict(arch="cls", classifier_hidden=1, seed=16),
    "cls-pooled-dense-relu": dict(arch="cls", pooler=True, classifier_hidden=1, seed=17,
                                  config_extra='"classifier_act": "relu"'),
    "cls-raw-two-dense-gelu": dict(arch="cls", classifier_hidden=2, seed=18,
                                   config_extra='"classifier_act": "gelu"'),
    "both-heads": dict(arch="both", pooler=True, seed=19),
}
LOOKAHEAD_LENGTHS = (1, 2, 5, 13, 24)
LOOKAHEAD_LONG_LENGTHS = (61, 66, 3, 12)


def looking(rule, **given):
    """Options of a random model with the "lookahead" of its config."""
    return {"arch": "both", "pooler": True, **given, "config_extra": '"lookahead": ' + json.dumps(rule)}


def dynamic(rule, **given):
    reaches = rule.get("layers", [rule["max"]])
    return looking({"policy": "dynamic", **rule}, scheduler=",".join(map(str, reaches)),
                   scheduler_hidden=rule.get("hidden_size", 0), **given)


# No decision of a dynamic one may be so close to zero that float32 could turn it: hence some seeds.
LOOKAHEAD = {
    "causal": looking({"policy": "causal", "cls": "last"}, layers=3, seed=40),
    "causal-left": looking({"policy": "causal", "left": 3, "cls_view": "last-layer"}, layers=3, seed=41),
    "layerwise": looking({"policy": "layerwise", "max": 2}, layers=3, seed=42),
    "layerwise-each": looking({"policy": "layerwise", "max": 4, "layers": [4, 0, 1], "left": 6,
                               "cls_view": "last-layer"}, layers=3, seed=43),
    "chunked": looking({"policy": "chunked", "chunk": 4, "cls_view": "hidden"}, layers=3, seed=44),
    "chunked-left": looking({"policy": "chunked", "chunk": 5, "left": 2, "cls": "last",
                             "cls_view": "hidden"}, layers=3, seed=45),
    "chunked-last": looking({"policy": "chunked", "chunk": 3, "cls": "last",
                             "cls_view": "last-layer"}, layers=2, seed=46),
    "dynamic": dynamic({"max": 2}, seed=47),
    "dynamic-left": dynamic({"max": 3, "left": 4, "cls": "last"}, layers=3, seed=60),
    "dynamic-each": dynamic({"max": 3, "layers": [2, 0, 3], "left": 6, "cls_view": "last-layer"},
                            layers=3, seed=49),
    "dynamic-span": dynamic({"max": 4, "cells": "span", "tau": 2.5, "cls_view": "hidden"}, seed=50),
    "dynamic-hidden-layer": dynamic({"max": 2, "hidden_size": 24, "cls": "last",
                                     "cls_view": "hidden"}, seed=58),
    "dynamic-hidden-gelu": dynamic({"max": 3, "cells": "span", "hidden_size": 12, "hidden_act": "gelu",
                                    "left": 8, "cls": "last", "cls_view": "last-layer"}, seed=52),
    "layerwise-long": looking({"policy": "layerwise", "max": 32}, arch="mlm", positions=172, seed=53),
    "dynamic-long": dynamic({"max": 32, "layers": [1, 32], "left": 40}, arch="mlm", positions=172,
                            seed=56),
}


def random_cases(lengths, vocab, seed):
    """Ids beside the five special ones; words of one to four tokens."""
    draw, cases = random.Random(seed), []
    for length in lengths:
        word, index = [], 0
        while len(word) < length:
            word += [index] * min(draw.randint(1, 4), length - len(word))
            index += 1
        cases.append({"ids": [draw.randrange(5, vocab) for _ in range(length)], "word": word})
    return cases


def sample_cases(count, limit):
    """Texts of the sample archive, with the ids and words of Hugging Face tokenizers."""
    vocab = os.path.join(ROOT, "bench", "data", "model", "vocab.txt")
    tokenizer = tokenizers.BertWordPieceTokenizer(vocab, lowercase=True)
    path = os.path.join(ROOT, "bench", "data", "dev-clean-200.jsonl.zst")
    with open(path, "rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file)
        lines = [json.loads(line) for line in io.TextIOWrapper(reader, encoding="utf-8")]
    cases = []
    for i, line in enumerate(lines):
        text = line["hyps"][i % len(line["hyps"])]["text"]
        found = tokenizer.encode(text, add_special_tokens=False)
        if i % 4 == 0 and len(cases) < count and 0 < len(found.ids) <= limit:
            cases.append({"text": text, "ids": found.ids, "word": found.word_ids})
    return cases


def worst(cases, others, methods):
    """The largest difference a token (or of the score of cls)."""
    def values(case, method):
        found = case[method]
        return found if isinstance(found, list) else [found]
    return max(abs(a - b) for case, other in zip(cases, others, strict=True) for method in methods
               for a, b in zip(values(case, method), values(other, method), strict=True))


def by_numpy(directory, cases, methods):
    model = oracle_numpy.Model(directory)
    return [oracle_numpy.score(model, case, methods) for case in cases]


def by_transformers(directory, cases, methods, dtype):
    import oracle_hf  # torch is large, and check_goldens.py goes without it
    model = oracle_hf.Model(directory, dtype)
    return [oracle_hf.score(model, case, methods) for case in cases]


def agree(name, directory, cases, methods):
    """Both oracles in float64 must agree; returns NumPy's scores."""
    scored = by_numpy(directory, cases, methods)
    difference = worst(scored, by_transformers(directory, cases, methods, "float64"), methods)
    print(f"{name}: NumPy and transformers in float64 differ by at most {difference:.2e}")
    if not difference <= 1e-9:
        sys.exit(f"{name}: the oracles disagree")
    return scored


def save(name, about, models):
    """One case a line, so that a changed golden shows as few changed lines."""
    path = os.path.join(HERE, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write('{"about": ' + json.dumps(about) + ',\n "models": [\n')
        for i, model in enumerate(models):
            head = {key: value for key, value in model.items() if key != "cases"}
            lines = ",\n  ".join(json.dumps(case) for case in model["cases"])
            end = "]}" + ("," if i + 1 < len(models) else "")
            out.write(json.dumps(head)[:-1] + ', "cases": [\n  ' + lines + end + "\n")
        out.write("]}\n")
    print(f"{name}: {os.path.getsize(path)} bytes")


def make_embedded(name, path, methods):
    scored = agree(name, os.path.join(ROOT, path), sample_cases(30, 48), methods)
    return {"name": name, "path": path, "methods": methods, "cases": scored}


def make_small():
    save("scores_small.json", "NumPy float64, the embedded models on texts of the sample",
         [make_embedded("small", "bench/data/model", MASKED),
          make_embedded("student", "bench/data/student", ["cls"])])


def methods_of(options):
    return {"mlm": MASKED, "cls": ["cls"], "both": MASKED + ["cls"]}[options["arch"]]


def make_variant(name, given):
    options = {**random_model.DEFAULTS, **given}
    lengths = LONG_LENGTHS if name == "long" else (1, 2, 5, 13, 30)
    methods = methods_of(options)
    cases = random_cases(lengths, options["vocab"], options["seed"])
    with tempfile.TemporaryDirectory() as directory:
        random_model.write(directory, **options)
        known = options["arch"] == "mlm" or (options["pooler"] and not options["classifier_hidden"])
        scored = (agree if known else lambda _, *rest: by_numpy(*rest))(
            name, directory, cases, methods)
    return {"name": name, "random": given, "methods": methods, "cases": scored}


def make_variants():
    save("scores_variants.json", "NumPy float64, random models",
         [make_variant(name, given) for name, given in VARIANTS.items()])


def make_lookahead_model(name, given):
    """transformers has no such masks: NumPy alone."""
    options = {**random_model.DEFAULTS, **given}
    methods = methods_of(options)
    lengths = LOOKAHEAD_LONG_LENGTHS if "long" in name else LOOKAHEAD_LENGTHS
    cases = random_cases(lengths, options["vocab"], options["seed"])
    with tempfile.TemporaryDirectory() as directory:
        random_model.write(directory, **options)
        scored = by_numpy(directory, cases, methods)
    print(f"{name}: {len(cases)} cases", flush=True)
    return {"name": name, "random": given, "methods": methods, "cases": scored}


def make_lookahead():
    save("scores_lookahead.json", "NumPy float64, random models under lookahead masks",
         [make_lookahead_model(name, given) for name, given in LOOKAHEAD.items()])


def make_base():
    methods = ["pll", "pll_l2r", "cls"]
    cases = random_cases(BASE_LENGTHS, BASE["vocab"], BASE["seed"])
    with tempfile.TemporaryDirectory() as directory:
        random_model.write(directory, **BASE)
        wide = by_transformers(directory, cases, methods, "float64")
        narrow = by_transformers(directory, cases, methods, "float32")
        print(f"base: float32 and float64 differ by at most {worst(wide, narrow, methods):.2e}")
        agree("base, the first four", directory, cases[:4], methods)
    for case, other in zip(wide, narrow, strict=True):
        case.update({f"{method}_f32": other[method] for method in methods})
    save("scores_base.json", "transformers float64 and float32, a random BERT-base",
         [{"name": "base", "random": BASE, "methods": methods, "cases": wide}])


def main(names):
    makers = {"small": make_small, "variants": make_variants, "lookahead": make_lookahead,
              "base": make_base}
    for name in names or makers:
        makers[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
