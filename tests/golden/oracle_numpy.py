#!/usr/bin/env python3
"""Scores token ids with a BERT model in float64, with NumPy alone: the reference for every score.

Written from the formulas, apart from the C code: own safetensors reader, one masked copy of the
whole sentence per token, no packing, no sharing, the full vocabulary's logits.

    oracle_numpy.py MODEL CASES.json > SCORES.json

README.md in this folder documents both files.
"""
import glob
import json
import math
import os
import sys

import numpy as np

from oracle_lookahead import Lookahead

erf = np.frompyfunc(math.erf, 1, 1)


def raw_safetensors(path):
    """(name, dtype, shape, bytes) of each tensor, as random_model.write_safetensors takes them."""
    with open(path, "rb") as file:
        blob = file.read()
    size = int.from_bytes(blob[:8], "little")
    header, data = json.loads(blob[8:8 + size]), blob[8 + size:]
    return [(name, entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"]


def read_safetensors(path):
    """{name: array}; bf16 is widened to float32, other float types are kept."""
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "BF16": "<u2"}
    out = {}
    for name, dtype, shape, data in raw_safetensors(path):
        array = np.frombuffer(data, kinds[dtype])
        if dtype == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        out[name] = array.reshape(shape)
    return out


def gelu(x):
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)).astype(np.float64))


def gelu_tanh(x):
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x ** 3)))


ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh,
               "relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh}


class Model:
    """A model directory, widened to float64. oracle_rounded.py overrides the type and the products."""

    TYPE = np.float64

    def __init__(self, directory):
        with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        self.tensors = {}
        for path in sorted(glob.glob(os.path.join(directory, "*.safetensors"))):
            for name, array in read_safetensors(path).items():
                name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
                name = name.replace("LayerNorm.beta", "LayerNorm.bias")
                if name.startswith(("embeddings.", "encoder.", "pooler.")):
                    name = "bert." + name
                self.tensors[name] = array.astype(self.TYPE)
        with open(os.path.join(directory, "vocab.txt"), encoding="utf-8") as file:
            pieces = file.read().split("\n")
        self.cls, self.sep, self.mask = (pieces.index(p) for p in ("[CLS]", "[SEP]", "[MASK]"))
        self.act = ACTIVATIONS[self.config.get("hidden_act", "gelu")]
        self.eps = self.config.get("layer_norm_eps", 1e-12)
        self.use_lookahead(self.config.get("lookahead", {"policy": "full"}))
        # For oracle_steady.py: (what is seen, own decisions) of every layer of every pass, and decisions
        # to take instead, in this order.
        self.trace, self.given = [], None

    def use_lookahead(self, rule):
        """As the config's member says it."""
        self.lookahead = Lookahead(rule, self.config.get("num_hidden_layers", 12))

    def product(self, x, weight):
        """x: (.., K), weight: (N, K)"""
        return x @ weight.T

    def mix(self, a, b):
        """Attention's two products; a: (.., N, K), b: (.., K, M)"""
        return a @ b

    def held(self, x):
        """What attention reads of q, k and v."""
        return x

    def dense(self, x, name):
        return self.product(x, self.tensors[name + ".weight"]) + self.tensors[name + ".bias"]

    def head(self, x, name):
        """A dense layer of the scalar head."""
        return self.dense(x, name)

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred ** 2).mean(-1, keepdims=True)
        scaled = centred / np.sqrt(variance + self.eps)
        return scaled * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def scheduler_inputs(self, x, layer):
        """What the last layer of a scheduler reads: (B, S, D), or (B, S, M) behind a hidden one."""
        rule = self.lookahead.rule
        if not rule.get("hidden_size"):
            return x
        hidden = self.head(x, f"bert.encoder.layer.{layer}.lookahead.hidden")
        return ACTIVATIONS[rule.get("hidden_act", "tanh")](hidden).astype(self.TYPE)

    def decisions(self, x, layer):
        """A scheduler's, on the layer's input (B, S, D): (B, S, R), the bit is set from 0 on."""
        logits = self.head(self.scheduler_inputs(x, layer),
                           f"bert.encoder.layer.{layer}.lookahead.dense")
        return self.lookahead.decisions(logits)

    def seen(self, x, layer):
        """What rows see in a layer, by its input."""
        made = bits = None
        if self.lookahead.is_scheduled(layer):
            made = self.decisions(x, layer)
            bits = (made if self.given is None else self.given.pop(0)) >= 0
        seen = self.lookahead.seen(layer, x.shape[1], bits)
        self.trace.append((seen, made))
        return seen

    def attention(self, x, base, seen):
        """x: (B, S, D); seen: (1 or B, S, S)"""
        heads = self.config.get("num_attention_heads", 12)
        batch, length, width = x.shape

        def split(name):
            parts = self.dense(x, f"{base}self.{name}").reshape(batch, length, heads, width // heads)
            return self.held(parts.transpose(0, 2, 1, 3))

        query, key, value = split("query"), split("key"), split("value")
        scores = self.mix(query, key.transpose(0, 1, 3, 2)) / math.sqrt(width // heads)
        scores = np.where(seen[:, None], scores, -np.inf).astype(scores.dtype)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = self.mix(weights, value).transpose(0, 2, 1, 3).reshape(batch, length, width)
        return self.norm(x + self.dense(mixed, base + "output.dense"), base + "output.LayerNorm")

    def embed(self, ids):
        """ids: (B, S) -> (B, S, D)"""
        words = self.tensors["bert.embeddings.word_embeddings.weight"][ids]
        positions = self.tensors["bert.embeddings.position_embeddings.weight"][:ids.shape[1]]
        types = self.tensors["bert.embeddings.token_type_embeddings.weight"][0]
        return self.norm(words + positions + types, "bert.embeddings.LayerNorm")

    def layer(self, x, i):
        """x: (B, S, D)"""
        base = f"bert.encoder.layer.{i}."
        x = self.attention(x, base + "attention.", self.seen(x, i))
        inner = self.act(self.dense(x, base + "intermediate.dense"))
        return self.norm(x + self.dense(inner, base + "output.dense"), base + "output.LayerNorm")

    def encode(self, ids):
        """ids: (B, S) -> (B, S, D)"""
        x = self.embed(ids)
        for i in range(self.config.get("num_hidden_layers", 12)):
            x = self.layer(x, i)
        return x

    def log_probs(self, rows):
        """rows: (N, D) -> (N, V)"""
        hidden = self.act(self.dense(rows, "cls.predictions.transform.dense"))
        hidden = self.norm(hidden, "cls.predictions.transform.LayerNorm")
        decoder = self.tensors["bert.embeddings.word_embeddings.weight"]
        bias = self.tensors.get("cls.predictions.bias")
        if not self.config.get("tie_word_embeddings", True):
            decoder = self.tensors["cls.predictions.decoder.weight"]
            bias = self.tensors.get("cls.predictions.decoder.bias", bias)
        logits = self.product(hidden, decoder) + bias
        peak = logits.max(-1, keepdims=True)
        return logits - peak - np.log(np.exp(logits - peak).sum(-1, keepdims=True))

    def wrap(self, ids):
        return np.array([self.cls, *ids, self.sep])

    def masked(self, ids, word, group):
        """log P of each token in its own copy; group 1 masks a word's later tokens too."""
        full, out = self.wrap(ids), []
        for t in range(len(ids)):
            copy = full.copy()
            hide = [j for j in range(t, len(ids)) if word[j] == word[t]] if group else [t]
            copy[[j + 1 for j in hide]] = self.mask
            row = self.encode(copy[None])[0, t + 1]
            out.append(float(self.log_probs(row[None])[0, ids[t]]))
        return out

    def pll(self, ids, word):
        return self.masked(ids, word, False)

    def pll_l2r(self, ids, word):
        return self.masked(ids, word, True)

    def maskless(self, ids, _word):
        rows = self.encode(self.wrap(ids)[None])[0, 1:-1]
        return [float(p) for p in self.log_probs(rows)[np.arange(len(ids)), ids]]

    def classify(self, ids, _word):
        x = self.encode(self.wrap(ids)[None])[0, self.lookahead.cls_position()]
        if "bert.pooler.dense.weight" in self.tensors:
            x = np.tanh(self.head(x, "bert.pooler.dense"))
        between = ACTIVATIONS[self.config.get("classifier_act", "tanh")]
        names = [n[:-len(".weight")] for n in self.tensors
                 if n.startswith("classifier") and n.endswith(".weight")]
        names.sort(key=lambda n: (n == "classifier.out_proj", len(n), n))
        for name in names[:-1]:
            x = between(self.head(x, name))
        return float(self.head(x, names[-1])[0])

    METHODS = {"pll": pll, "pll_l2r": pll_l2r, "maskless": maskless, "cls": classify}


def score(model, case, methods):
    """The case with one member a method: a list of log-probabilities, or a number for cls."""
    out = dict(case)
    for method in methods:
        model.trace = []
        out[method] = Model.METHODS[method](model, case["ids"], case["word"])
    return out


def main(directory, cases_path):
    model = Model(directory)
    with open(cases_path, encoding="utf-8") as file:
        request = json.load(file)
    cases = [score(model, case, request["methods"]) for case in request["cases"]]
    json.dump({**request, "cases": cases}, sys.stdout)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
