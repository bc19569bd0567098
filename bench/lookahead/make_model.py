#!/usr/bin/env python3
"""Gives a model a lookahead: writes the directory anew with the policy in its config and, for dynamic
ones, a scheduler in every layer that can look ahead.

    make_model.py bench/data/model OUT --policy causal
    make_model.py bench/data/model OUT --policy layerwise --layers 2,0,1,0
    make_model.py bench/data/model OUT --policy dynamic --max 3 --scheduler random --density 0.1
    make_model.py bench/data/model OUT --policy dynamic --max 2 --scheduler words --words the,a,of

Schedulers are not trained but made, so that every behaviour can be tested and shown:

    random   random weights, and the bias with which a share --density of the cells (position, position
             ahead) of the text opens
    words    all bits open at the given words and none elsewhere, [MASK] included: a linear separation
             of each layer's inputs, fitted to the text and refused where it does not separate
    open     every bit is set, whatever the input;   shut: none

--text FILE has one sentence a line; without it token ids are drawn evenly, each tenth one of the words.
The weights of the source
stay as they are, byte by byte: it was trained with full masks, so its scores under others say nothing
of what a trained one would do. Needs NumPy alone; the encoder is that of tests/golden.
"""
import argparse
import json
import os
import re
import shutil
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "golden"))

import oracle_numpy  # noqa: E402
import random_model  # noqa: E402

KEPT = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
MAX_REACH, MAX_HIDDEN = 32, 65536
AHEAD = ("layerwise", "dynamic")
MASKED = ("causal", "chunked", *AHEAD)
POLICIES = {"max": AHEAD, "layers": AHEAD, "chunk": ("chunked",), "left": MASKED, "cells": ("dynamic",),
            "tau": ("dynamic",), "hidden_size": ("dynamic",), "hidden_act": ("dynamic",), "cls": MASKED,
            "cls_view": MASKED}  # that take a key; FORMATS.md
FIT_PASSES = 2000
DRAWN_LENGTH, WORD_SHARE = 30, 0.1


def refuse(why):
    print(f"make_model.py: {why}", file=sys.stderr)
    sys.exit(2)


def rule_of(args):
    """The config's object "lookahead"; what stands at its default is left out."""
    rule = {"policy": args.policy}
    for key in ("max", "chunk", "left", "cells", "tau", "hidden_size", "hidden_act", "cls", "cls_view"):
        if getattr(args, key) is not None:
            rule[key] = getattr(args, key)
    if args.layers:
        rule["layers"] = [reach_of(text) for text in args.layers.split(",")]
        rule.setdefault("max", max(1, *rule["layers"]))
    return rule


def reach_of(text):
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) > MAX_REACH:
        refuse(f"--layers takes whole numbers from 0 to {MAX_REACH} separated by commas, not '{text}'")
    return int(text)


def check_range(rule, key, most):
    if key in rule and not 1 <= rule[key] <= most:
        refuse(f"--{key.replace('_', '-')} is {rule[key]}: a whole number from 1 to {most} is needed")


def check_rule(rule, layers, positions):
    """Refuses what the engine would not read."""
    policy = rule["policy"]
    for key in rule:
        if policy not in POLICIES.get(key, (policy,)):
            refuse(f"--{key.replace('_', '-')} does not go with --policy {policy}")
    for key, most in (("max", MAX_REACH), ("chunk", positions), ("left", positions),
                      ("hidden_size", MAX_HIDDEN)):
        check_range(rule, key, most)
    if policy in AHEAD:
        check_reaches(rule, layers)
    if policy == "chunked" and "chunk" not in rule:
        refuse("--chunk is needed")
    if "tau" in rule and rule.get("cells") != "span":
        refuse("--tau goes with --cells span")
    if "tau" in rule and not (rule["tau"] <= np.finfo(np.float32).max and np.float32(rule["tau"]) > 0):
        refuse(f"--tau is {rule['tau']}: a number over 0 is needed, and no more than a float holds")
    if "hidden_act" in rule and "hidden_size" not in rule:
        refuse("--hidden-act goes with --hidden-size")


def check_reaches(rule, layers):
    if "max" not in rule:
        refuse("--max or --layers is needed")
    reaches = rule.get("layers", [rule["max"]] * layers)
    if len(reaches) != layers or max(reaches) > rule["max"]:
        refuse(f"--layers takes {layers} values from 0 to --max, one a layer")
    if rule["policy"] == "dynamic" and max(reaches) == 0:
        refuse("--layers: no layer looks ahead; the policy of that is causal")


def check_making(args):
    """What is no part of the rule."""
    if (args.scheduler == "words") != bool(args.words):
        refuse("--words goes with --scheduler words, and that needs it")
    if not 0 <= args.density <= 1:
        refuse(f"--density is {args.density}: a share from 0 to 1 is needed")
    if args.sentences < 1 or args.seed < 0:
        refuse("--sentences takes a number from 1 and --seed one from 0")


class Pieces:
    """WordPiece of plain words: enough to have the positions that a model meets."""

    def __init__(self, directory):
        path = os.path.join(directory, "vocab.txt")
        if not os.path.exists(path):
            refuse(f"{path} is missing; schedulers are made for WordPiece vocabularies alone")
        with open(path, encoding="utf-8") as file:
            self.ids = {piece.rstrip("\n"): i for i, piece in enumerate(file)}
        self.uncased = not any(re.search("[A-Z]", p) for p in self.ids if not p.startswith("["))

    def of_word(self, word):
        out, at = [], 0
        while at < len(word):
            ends = range(len(word), at, -1)
            found = next((e for e in ends if ("##" if at else "") + word[at:e] in self.ids), None)
            if found is None:
                return [self.ids["[UNK]"]]
            out.append(self.ids[("##" if at else "") + word[at:found]])
            at = found
        return out

    def of_text(self, text):
        words = re.findall(r"\w+|[^\w\s]", text.lower() if self.uncased else text)
        return [piece for word in words for piece in self.of_word(word)]

    def one(self, word):
        """The id of a word that must be one piece, since a scheduler sees one position."""
        found = self.of_text(word)
        if len(found) != 1 or found[0] == self.ids["[UNK]"]:
            refuse(f"'{word}' is not one piece of this vocabulary: a scheduler reads one position")
        return found[0]


def drawn_ids(count, pieces, words, draw):
    plain = np.array([i for piece, i in pieces.ids.items() if not piece.startswith("[")])
    ids = draw.choice(plain, count)
    return np.where(draw.random(count) < WORD_SHARE, draw.choice(words or plain, count), ids).tolist()


def sentences(args, pieces, words, model, draw):
    """Token ids, and each sentence once more with a random position masked."""
    most = model.config["max_position_embeddings"] - 2
    if args.text:
        with open(args.text, encoding="utf-8") as file:
            found = [pieces.of_text(line)[:most] for line in file]
        found = [ids for ids in found if ids][:args.sentences]
    else:
        found = [drawn_ids(min(most, DRAWN_LENGTH), pieces, words, draw)
                 for _ in range(args.sentences)]
    if not found:
        refuse(f"{args.text} has no text")
    out = []
    for ids in found:
        masked = list(ids)
        masked[draw.integers(len(ids))] = model.mask
        out += [model.wrap(ids), model.wrap(masked)]
    return out


class Made:
    """Schedulers, layer by layer: what a layer reads depends on those below it."""

    def __init__(self, args, model, pieces):
        self.args, self.model = args, model
        self.draw = np.random.default_rng(args.seed)
        self.words = [pieces.one(word) for word in args.words.split(",")] if args.words else []
        self.ids = sentences(args, pieces, self.words, model, self.draw)
        self.tensors = {}

    def run(self):
        streams = [self.model.embed(ids[None]) for ids in self.ids]
        for layer in range(self.model.lookahead.layers):
            if self.model.lookahead.is_scheduled(layer):
                self.make(layer, streams)
            self.model.trace = []
            streams = [self.model.layer(x, layer) for x in streams]
            self.report(layer)

    def put(self, name, array):
        """Rounded to what the file holds, so that the layers above are fitted to what will be."""
        stored = array.astype(np.float32)
        self.tensors[name] = stored
        self.model.tensors[name] = stored.astype(self.model.TYPE)

    def make(self, layer, streams):
        base = f"bert.encoder.layer.{layer}.lookahead."
        width = self.model.config["hidden_size"]
        hidden = self.model.lookahead.rule.get("hidden_size")
        if hidden:
            self.put(base + "hidden.weight", self.draw.normal(0, width ** -0.5, (hidden, width)))
            self.put(base + "hidden.bias", self.draw.normal(0, 0.5, hidden))
        inputs = [self.model.scheduler_inputs(x, layer)[0] for x in streams]
        weight, bias = getattr(self, "make_" + self.args.scheduler)(layer, inputs)
        self.put(base + "dense.weight", weight)
        self.put(base + "dense.bias", bias)

    def constant(self, layer, inputs, bias):
        reach = self.model.lookahead.reach(layer)
        return np.zeros((reach, inputs[0].shape[1])), np.full(reach, bias)

    def make_open(self, layer, inputs):
        """With the span's product in mind: sigmoid(tau b) to the 32nd power must stay above a half."""
        return self.constant(layer, inputs, 8.0 / min(1.0, self.model.lookahead.rule.get("tau", 1.0)))

    def make_shut(self, layer, inputs):
        return self.constant(layer, inputs, -1.0)

    def make_random(self, layer, inputs):
        """Logits of mean 0 and deviation 1 over the text, then one bias, found by bisection."""
        reach, rows = self.model.lookahead.reach(layer), np.concatenate(inputs)
        weight = self.draw.normal(0, 1, (reach, rows.shape[1]))
        weight /= np.maximum((rows @ weight.T).std(0), 1e-12)[:, None]
        mean = (rows @ weight.T).mean(0)
        low, high = -100.0, 100.0
        for _ in range(60):
            middle = (low + high) / 2
            if self.open_share([x @ weight.T - mean + middle for x in inputs]) < self.args.density:
                low = middle
            else:
                high = middle
        return weight, (low + high) / 2 - mean

    def open_share(self, logits):
        opened = cells = 0
        for rows in logits:
            inside = self.inside(*rows.shape)
            opened += (inside & (self.model.lookahead.decisions(rows) >= 0)).sum()
            cells += inside.sum()
        return opened / max(1, cells)

    @staticmethod
    def inside(length, reach):
        """(S, R): cells before the sequence's end."""
        i, r = np.indices((length, reach))
        return i + r + 1 < length

    def make_words(self, layer, inputs):
        reach, rows = self.model.lookahead.reach(layer), np.concatenate(inputs)
        wanted = np.isin(np.concatenate(self.ids), self.words)
        if not wanted.any():
            refuse("the text has none of the words")
        weight, bias = self.separate(rows, wanted, layer)
        # Whatever tau: sigmoid(8)^32 is 0.99.
        scale = 8.0 / min(1.0, self.model.lookahead.rule.get("tau", 1.0))
        return np.tile(weight * scale, (reach, 1)), np.full(reach, bias * scale)

    def separate(self, rows, wanted, layer):
        """weight, bias: at least 1 at the wanted rows and at most -1 elsewhere. Least squares with both
        sides of equal weight, then the perceptron with a margin on what is still wrong."""
        sign = np.where(wanted, 1.0, -1.0)
        each = np.where(wanted, 0.5 / wanted.sum(), 0.5 / (~wanted).sum())
        design = np.concatenate([rows, np.ones((len(rows), 1))], 1)
        gram = design.T @ (each[:, None] * design)
        gram += 1e-9 * np.trace(gram) / len(gram) * np.eye(len(gram))
        solution = np.linalg.solve(gram, design.T @ (each * sign))
        step = 0.1 / (design ** 2).sum(1).mean()
        for _ in range(FIT_PASSES):
            margin = sign * (design @ solution)
            if margin.min() > 0:
                solution /= margin.min()
                return solution[:-1], solution[-1]
            for row in np.flatnonzero(margin < 0.05):
                solution += step * sign[row] * design[row]
        wrong = int((sign * (design @ solution) <= 0).sum())
        refuse(f"layer {layer}: no linear separation of the given words in its inputs was found "
               f"({wrong} of {len(rows)} positions wrong); take fewer layers, other words or a "
               "wider --hidden-size")

    def report(self, layer):
        """Of the text, by the tensors as they are written."""
        if self.model.trace[0][1] is None:
            print(f"layer {layer}: no scheduler")
            return
        made = [decisions[0] for _, decisions in self.model.trace]
        inside = [self.inside(*rows.shape) for rows in made]
        share = (sum((cells & (rows >= 0)).sum() for cells, rows in zip(inside, made, strict=True)) /
                 max(1, sum(cells.sum() for cells in inside)))
        rows = np.mean(np.concatenate([(cells & (bits >= 0)).any(1)
                                       for cells, bits in zip(inside, made, strict=True)]))
        print(f"layer {layer}: {100 * share:.1f} % of the cells open, "
              f"{100 * rows:.1f} % of the positions look ahead")


def copy(args, rule, schedulers):
    """schedulers: {name: float32 array}; one weights file, whatever the source had."""
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.model, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    random_model.write_text(args.out, "config.json",
                            json.dumps({**config, "lookahead": rule}, indent=2) + "\n")
    tensors = [tensor for name in sorted(os.listdir(args.model)) if name.endswith(".safetensors")
               for tensor in oracle_numpy.raw_safetensors(os.path.join(args.model, name))
               if ".lookahead." not in tensor[0]]
    tensors += [(name, "F32", array.shape, array.astype("<f4").tobytes())
                for name, array in schedulers.items()]
    random_model.write_safetensors(os.path.join(args.out, "model.safetensors"), tensors)
    for name in KEPT:
        if os.path.exists(os.path.join(args.model, name)):
            shutil.copyfile(os.path.join(args.model, name), os.path.join(args.out, name))


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="Hugging Face model directory with safetensors")
    parser.add_argument("out", help="directory to write; not the source")
    parser.add_argument("--policy", required=True,
                        choices=("full", "causal", "layerwise", "chunked", "dynamic"))
    parser.add_argument("--max", type=int, metavar="R", help="positions ahead of every layer")
    parser.add_argument("--layers", metavar="R,R..", help="one a layer; 0: causal there")
    parser.add_argument("--chunk", type=int, metavar="C", help="positions of a chunk")
    parser.add_argument("--left", type=int, metavar="W", help="past positions that a row sees")
    parser.add_argument("--cells", choices=("independent", "span"), help="of dynamic")
    parser.add_argument("--tau", type=float, help="of span")
    parser.add_argument("--hidden-size", type=int, metavar="M", help="hidden layer of a scheduler")
    parser.add_argument("--hidden-act", choices=("tanh", "gelu", "gelu_new", "relu"))
    parser.add_argument("--cls", choices=("first", "last"), help="position that cls scores")
    parser.add_argument("--cls-view", choices=("bound", "last-layer", "hidden"))
    parser.add_argument("--scheduler", choices=("random", "words", "open", "shut"), default="random")
    parser.add_argument("--density", type=float, default=0.1, help="of random (0.1)")
    parser.add_argument("--words", help="of words, comma-separated")
    parser.add_argument("--text", metavar="FILE", help="sentences, one a line")
    parser.add_argument("--sentences", type=int, default=100, help="that many of the text (100)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    args = parse()
    if os.path.exists(args.out) and os.path.samefile(args.model, args.out):
        refuse("the source would be overwritten")
    check_making(args)
    rule = rule_of(args)
    model = oracle_numpy.Model(args.model)
    config = model.config
    check_rule(rule, config.get("num_hidden_layers", 12), config.get("max_position_embeddings", 512))
    schedulers = {}
    if args.policy == "dynamic":
        model.use_lookahead(rule)
        made = Made(args, model, Pieces(args.model))
        made.run()
        schedulers = made.tensors
    copy(args, rule, schedulers)


if __name__ == "__main__":
    main()
