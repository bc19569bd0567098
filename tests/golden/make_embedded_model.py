#!/usr/bin/env python3
"""Stores a float32 model directory as bf16, rounded to nearest with ties to even.

    make_embedded_model.py MODEL bench/data/model

Writes config.json and model.safetensors. Needs NumPy.
"""
import json
import os
import shutil
import sys

import numpy as np

import random_model
from oracle_numpy import read_safetensors

TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")


def main(source, target):
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(source, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    config["torch_dtype"] = "bfloat16"
    with open(os.path.join(target, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    tensors = []
    for name, array in sorted(read_safetensors(os.path.join(source, "model.safetensors")).items()):
        if not np.isfinite(array).all():
            sys.exit(f"{name} holds values that are not finite")
        data = random_model.to_bf16_bits(array).astype("<u2").tobytes()
        tensors.append((name, "BF16", array.shape, data))
    random_model.write_safetensors(os.path.join(target, "model.safetensors"), tensors)
    for name in TOKENIZER_FILES:
        if os.path.exists(os.path.join(source, name)):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))


if __name__ == "__main__":
    main(*sys.argv[1:])
