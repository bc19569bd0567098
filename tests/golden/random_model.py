#!/usr/bin/env python3
"""Writes model directories with random weights, byte for byte as tests/support/random_model.c does.

tests/support/random_model.h states the generator. Needs NumPy only.

    random_model.py --layers 2 --hidden 32 OUT
"""
import argparse
import json
import math
import os

import numpy as np

MASK = (1 << 64) - 1
DENSE_SCALE, WORD_SCALE, TYPE_SCALE, SMALL_FACTOR = 24085, 96340, 6021, 6
ONE = 1 << 22
BLOCK = 1 << 20

DEFAULTS = dict(layers=2, hidden=32, heads=2, ffn=64, vocab=100, positions=64, type_vocab=2, seed=1,
                arch="mlm", dtype="f32", decoder="tied", pooler=False, classifier_hidden=0,
                scheduler=None, scheduler_hidden=0, scheduler_percent=50,
                gamma_beta=False, no_prefix=False, extra=False, shards=1, act="gelu", eps="1e-12",
                config_extra=None, vocab_file=None)


def fnv1a(data, state=0xCBF29CE484222325):
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def mix(x):
    """Of one integer."""
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def mix_array(x):
    """Of a uint64 array, whose arithmetic wraps."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def values(seed, name, count, factor, offset):
    """The tensor's values as float32, flat."""
    start = np.uint64(mix(seed) ^ fnv1a(name.encode()))
    out = np.empty(count, np.float32)
    low = np.uint64(0xFFFF)
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        index = np.arange(first + 1, last + 1, dtype=np.uint64)
        h = mix_array(start + index * np.uint64(0x9E3779B97F4A7C15))
        parts = (h & low) + (h >> np.uint64(16) & low) + (h >> np.uint64(32) & low)
        n = (parts + (h >> np.uint64(48))).astype(np.int64) - 131070
        out[first:last] = (offset + factor * n).astype(np.float64) / ONE
    return out


def factor_for(scale, inputs):
    return min(128, max(1, math.isqrt(scale // inputs)))


def to_bf16_bits(array):
    """Round to nearest, ties to even; finite values."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
            >> np.uint32(16)).astype(np.uint16)


class TensorList:
    """(name in the file, name that decides the values, shape, factor, offset), in file order."""

    def __init__(self, options):
        self.options, self.items = options, []
        o = options
        hidden = o["hidden"]
        self.weight("bert.embeddings.word_embeddings", o["vocab"], hidden, WORD_SCALE)
        self.weight("bert.embeddings.position_embeddings", o["positions"], hidden, DENSE_SCALE)
        self.weight("bert.embeddings.token_type_embeddings", o["type_vocab"], hidden, TYPE_SCALE)
        self.norm("bert.embeddings.LayerNorm")
        for i in range(o["layers"]):
            self.layer(f"bert.encoder.layer.{i}.")
            self.scheduler(i)
        if o["arch"] != "cls":
            self.mlm_head()
        if o["arch"] != "mlm":
            self.cls_head()
        if o["extra"]:
            self.extra()

    def add(self, base, tail, shape, factor, offset):
        canon = f"{base}.{tail}"
        if self.options["gamma_beta"] and base.endswith("LayerNorm"):
            tail = {"weight": "gamma", "bias": "beta"}[tail]
        if self.options["no_prefix"] and base.startswith("bert."):
            base = base[len("bert."):]
        self.items.append((f"{base}.{tail}", canon, shape, factor, offset))

    def weight(self, base, rows, cols, scale=DENSE_SCALE):
        self.add(base, "weight", (rows, cols), factor_for(scale, cols), 0)

    def linear(self, base, rows, cols):
        self.weight(base, rows, cols)
        self.add(base, "bias", (rows,), SMALL_FACTOR, 0)

    def norm(self, base):
        hidden = self.options["hidden"]
        self.add(base, "weight", (hidden,), SMALL_FACTOR, ONE)
        self.add(base, "bias", (hidden,), SMALL_FACTOR, 0)

    def layer(self, base):
        hidden, ffn = self.options["hidden"], self.options["ffn"]
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            self.linear(f"{base}attention.{name}", hidden, hidden)
        self.norm(f"{base}attention.output.LayerNorm")
        self.linear(f"{base}intermediate.dense", ffn, hidden)
        self.linear(f"{base}output.dense", hidden, ffn)
        self.norm(f"{base}output.LayerNorm")

    def scheduler(self, layer):
        o, base = self.options, f"bert.encoder.layer.{layer}.lookahead."
        outputs = [int(n) for n in o["scheduler"].split(",")] if o["scheduler"] else [0]
        outputs = outputs[min(layer, len(outputs) - 1)]
        inputs, percent = o["scheduler_hidden"] or o["hidden"], o["scheduler_percent"]
        if outputs == 0:
            return
        if o["scheduler_hidden"]:
            self.linear(base + "hidden", inputs, o["hidden"])
        self.linear(base + "dense", outputs, inputs)
        (*weight, factor, _), (*bias, small, _) = self.items[-2:]
        offset = ONE if percent else -ONE
        if 0 < percent < 100:
            odds = percent / (100 - percent)
            offset = math.floor(0.5 + 1024 * 0.8226 * math.log(odds)) * 4096
        else:
            factor = small = 0
        self.items[-2:] = [(*weight, factor, 0), (*bias, small, offset)]

    def mlm_head(self):
        o = self.options
        self.linear("cls.predictions.transform.dense", o["hidden"], o["hidden"])
        self.norm("cls.predictions.transform.LayerNorm")
        self.add("cls.predictions", "bias", (o["vocab"],), SMALL_FACTOR, 0)
        if o["decoder"] != "tied":
            self.weight("cls.predictions.decoder", o["vocab"], o["hidden"], WORD_SCALE)
        if o["decoder"] == "untied":
            self.add("cls.predictions.decoder", "bias", (o["vocab"],), SMALL_FACTOR, 0)
        if o["decoder"] == "copy":
            name, _, *rest = self.items[-1]
            self.items[-1] = (name, "bert.embeddings.word_embeddings.weight", *rest)

    def cls_head(self):
        hidden, before = self.options["hidden"], self.options["classifier_hidden"]
        if self.options["pooler"]:
            self.linear("bert.pooler.dense", hidden, hidden)
        for i in range(before):
            self.linear("classifier.dense" if before == 1 else f"classifier.{2 * i}", hidden, hidden)
        last = {0: "classifier", 1: "classifier.out_proj"}.get(before, f"classifier.{2 * before}")
        self.linear(last, 1, hidden)

    def extra(self):
        hidden = self.options["hidden"]
        self.linear("cls.seq_relationship", 2, hidden)
        if self.options["arch"] == "mlm":
            self.linear("bert.pooler.dense", hidden, hidden)
        self.add("bert.embeddings", "position_ids", (1, self.options["positions"]), 0, 0)


def tensor_bytes(options, item):
    """(dtype as the file says, bytes)"""
    name, canon, shape, factor, offset = item
    if name.endswith("position_ids"):
        return "I64", np.arange(shape[1], dtype="<i8").tobytes()
    flat = values(options["seed"], canon, math.prod(shape), factor, offset)
    if options["dtype"] == "f32":
        return "F32", flat.astype("<f4").tobytes()
    if options["dtype"] == "f16":
        return "F16", flat.astype("<f2").tobytes()
    return "BF16", to_bf16_bits(flat).astype("<u2").tobytes()


def write_safetensors(path, tensors):
    """tensors: (name, dtype, shape, bytes), written in this order; header padded to 8 bytes."""
    header, at = '{"__metadata__":{"format":"pt"}', 0
    for name, dtype, shape, data in tensors:
        sizes = ",".join(str(size) for size in shape)
        header += (f',"{name}":{{"dtype":"{dtype}","shape":[{sizes}],'
                   f'"data_offsets":[{at},{at + len(data)}]}}')
        at += len(data)
    text = (header + "}").encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for *_, data in tensors:
            out.write(data)


def config_text(o):
    arch = "BertForMaskedLM" if o["arch"] == "mlm" else "BertForSequenceClassification"
    tied = "false" if o["decoder"] == "untied" else "true"
    members = [f'"architectures": ["{arch}"]', '"model_type": "bert"',
               f'"vocab_size": {o["vocab"]}', f'"hidden_size": {o["hidden"]}',
               f'"num_hidden_layers": {o["layers"]}', f'"num_attention_heads": {o["heads"]}',
               f'"intermediate_size": {o["ffn"]}', f'"max_position_embeddings": {o["positions"]}',
               f'"type_vocab_size": {o["type_vocab"]}', f'"hidden_act": "{o["act"]}"',
               f'"layer_norm_eps": {o["eps"]}', f'"tie_word_embeddings": {tied}']
    if o["config_extra"]:
        members.append(o["config_extra"])
    return "{\n  " + ",\n  ".join(members) + "\n}\n"


def vocab_text(o):
    if o["vocab_file"]:
        with open(o["vocab_file"], encoding="utf-8") as file:
            return file.read()
    letters = [chr(ord("a") + i) for i in range(26)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters
    pieces += ["##" + letter for letter in letters] + ["'"]
    pieces += [f"w{i}" for i in range(len(pieces), o["vocab"])]
    return "".join(piece + "\n" for piece in pieces[:o["vocab"]])


def write_text(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="utf-8", newline="") as out:
        out.write(text)


def write_weights(o, directory):
    items = TensorList(o).items
    index = {}
    for shard in range(o["shards"]):
        part = items[len(items) * shard // o["shards"]:len(items) * (shard + 1) // o["shards"]]
        name = "model.safetensors"
        if o["shards"] > 1:
            name = f"model-{shard + 1:05d}-of-{o['shards']:05d}.safetensors"
        filled = [(item, *tensor_bytes(o, item)) for item in part]
        write_safetensors(os.path.join(directory, name),
                          [(item[0], dtype, item[2], data) for item, dtype, data in filled])
        index.update({item[0]: name for item in part})
    if o["shards"] > 1:
        entries = ",".join(f"\n    {json.dumps(k)}: {json.dumps(v)}" for k, v in index.items())
        write_text(directory, "model.safetensors.index.json",
                   '{\n  "metadata": {},\n  "weight_map": {' + entries + "\n  }\n}\n")


def write(directory, **given):
    """Keyword arguments as in DEFAULTS; random_model.h explains them."""
    options = {**DEFAULTS, **given}
    os.makedirs(directory, exist_ok=True)
    write_text(directory, "config.json", config_text(options))
    write_text(directory, "vocab.txt", vocab_text(options))
    write_weights(options, directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for key, value in DEFAULTS.items():
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, default=value, type=int if isinstance(value, int) else str)
    parser.add_argument("out")
    options = vars(parser.parse_args())
    write(options.pop("out"), **options)


if __name__ == "__main__":
    main()
