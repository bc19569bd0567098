#!/usr/bin/env python3
"""How far scores in float32 and bf16 are from the exact ones, by plain arithmetic of that precision.

    oracle_rounded.py [small] [variants] [lookahead] [base]      (all of them without a name)

Writes "deviation" into the models of scores_*.json, and into the cases of dynamic models what of them
rounding may not change; the scores stay as they are. Needs NumPy alone;
base takes ten minutes. README.md says what the tests make of it.
"""
import contextlib
import json
import math
import os
import sys
import tempfile

import numpy as np

import oracle_numpy
import oracle_steady
import random_model

HERE = os.path.dirname(os.path.abspath(__file__))
# Few tokens need more orders of summation to tell a deviation from.
VALUES = {"small": 400, "variants": 400, "lookahead": 400, "base": 60}


class Float32(oracle_numpy.Model):
    """Everything in float32; a sum of products is added up term after term, in a drawn order."""

    TYPE = np.float32

    def __init__(self, directory, draw):
        super().__init__(directory)
        self.draws = np.random.default_rng(draw)
        self.turned = {}
        wide = self.act
        self.act = lambda x: wide(x).astype(np.float32)

    def mix(self, a, b):
        a, b = a.astype(np.float32), np.ascontiguousarray(b)
        total = np.zeros((*a.shape[:-1], b.shape[-1]), np.float32)
        term = np.empty_like(total)
        columns = np.ascontiguousarray(np.moveaxis(a, -1, 0))[..., None]
        for k in self.draws.permutation(a.shape[-1]):
            np.multiply(columns[k], b[..., k, None, :], out=term)
            total += term
        return total

    def product(self, x, weight):
        if id(weight) not in self.turned:
            self.turned[id(weight)] = np.ascontiguousarray(weight.T)
        flat = x.reshape(-1, x.shape[-1])
        return self.mix(flat, self.turned[id(weight)]).reshape(*x.shape[:-1], len(weight))


def to_bf16(x):
    """To the nearest bf16, ties to even; no NaN and no overflow comes here."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


class Bf16(oracle_numpy.Model):
    """What a product or attention reads is bf16 and the rest is exact, as the types of backend.h
    say: sums, the residual stream, softmax, norms and the scalar head are wider."""

    def __init__(self, directory, _draw):
        super().__init__(directory)
        self.rounded = {}

    def product(self, x, weight):
        if id(weight) not in self.rounded:
            self.rounded[id(weight)] = to_bf16(weight)
        return to_bf16(x) @ self.rounded[id(weight)].T

    def held(self, x):
        return to_bf16(x)

    def decisions(self, x, layer):
        """A device may keep the residual stream in bf16."""
        return super().decisions(to_bf16(x), layer)

    def head(self, x, name):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]


KINDS = {"f32": Float32, "bf16": Bf16}


def differences(model, exact, cases, method):
    """Schedulers decide as the exact ones do: oracle_steady.py says why."""
    out = []
    for case in cases:
        if exact:
            passes = oracle_steady.run(exact, case, method)
            model.given = [made[None] for made in oracle_steady.decisions_of(passes)]
        model.trace = []
        found = oracle_numpy.Model.METHODS[method](model, case["ids"], case["word"])
        out.extend(np.subtract(found, case[method]).reshape(-1).tolist())
    return out


def exact_if_dynamic(directory):
    model = oracle_numpy.Model(directory)
    return model if model.lookahead.policy == "dynamic" else None


def deviation(kind, directory, cases, method, values):
    """[root mean square, largest] of the errors, at least `values` of them where a draw matters."""
    exact = exact_if_dynamic(directory)
    errors = differences(kind(directory, 0), exact, cases, method)
    draws = -(-values // len(errors)) if kind is Float32 else 1
    for draw in range(1, draws):
        errors += differences(kind(directory, draw), exact, cases, method)
    return [float(f"{math.sqrt(sum(e * e for e in errors) / len(errors)):.3g}"),
            float(f"{max(map(abs, errors)):.3g}")]


@contextlib.contextmanager
def directory_of(model):
    if "path" in model:
        yield os.path.join(HERE, "..", "..", model["path"])
        return
    with tempfile.TemporaryDirectory() as directory:
        random_model.write(directory, **{**random_model.DEFAULTS, **model["random"]})
        yield directory


def deviations(model, values, kinds=("f32", "bf16")):
    with directory_of(model) as directory:
        return {name: {method: deviation(KINDS[name], directory, model["cases"], method, values)
                       for method in model["methods"]}
                for name in kinds}


def add_steady(model):
    """What of a dynamic model is the same in bf16; in float32 everything must be."""
    with directory_of(model) as directory:
        exact = exact_if_dynamic(directory)
        if not exact:
            return
        worst = {}
        for name, kind in KINDS.items():
            rms, worst[name] = oracle_steady.deviations(exact, kind(directory, 0), model["cases"],
                                                        model["methods"])
            model["deviation"][name]["bits"] = [float(f"{max(rms):.3g}"), float(f"{max(worst[name]):.3g}")]
        near = oracle_steady.nearest(exact, model["cases"], model["methods"])
        if not near > oracle_steady.ALLOWED * max(worst["f32"]):
            sys.exit(f"{model['name']}: a decision is {near:.2g} from zero, which float32 could turn: "
                     "another seed")
        allowed = oracle_steady.ALLOWED * worst["bf16"]
        for case in model["cases"]:
            case["bits"], case["unsure"] = oracle_steady.unmasked_bits(exact, case, allowed)
            for method in model["methods"]:
                case[method + "_steady"] = oracle_steady.steady_scores(exact, case, method, allowed)
    shares = {method: share([case[method + "_steady"] for case in model["cases"]])
              for method in model["methods"]}
    print(model["name"], "steady in bf16:", shares)


def share(values):
    flat = np.concatenate([np.atleast_1d(value) for value in values])
    return float(f"{flat.mean():.3g}")


def main(names):
    import make_goldens  # which needs more packages
    for name in names or VALUES:
        with open(os.path.join(HERE, f"scores_{name}.json"), encoding="utf-8") as file:
            golden = json.load(file)
        for model in golden["models"]:
            model["deviation"] = deviations(model, VALUES[name])
            add_steady(model)
            print(model["name"], json.dumps(model["deviation"]), flush=True)
        make_goldens.save(f"scores_{name}.json", golden["about"], golden["models"])


if __name__ == "__main__":
    main(sys.argv[1:])
