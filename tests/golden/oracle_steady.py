"""Which scores of a dynamic model hang on a decision that rounding may turn.

A scheduler's bit is the sign of a number. In bf16 that number is off, and where it is close to zero
the bit may flip and the score become another one: no error of the arithmetic, and no tolerance fits
it. A score is steady when every decision that it depends on is further from zero than the allowed
error; those must agree, and every bit that is steady itself must be the same.
"""
import numpy as np

ALLOWED = 3  # deviations, as tests/support/score_errors.h allows for scores


def run(model, case, method, given=None):
    """The passes of a method: lists of (seen (S, S), decisions (S, R) or None), one a layer."""
    model.trace, model.given = [], given
    model.METHODS[method](model, case["ids"], case["word"])
    layers = [(seen[0], None if made is None else made[0]) for seen, made in model.trace]
    count = model.lookahead.layers
    return [layers[i:i + count] for i in range(0, len(layers), count)]


def clipped(decisions):
    """(S, R) with those beyond the sequence, which decide nothing, far from zero."""
    i, r = np.indices(decisions.shape)
    return np.where(i + r + 1 < len(decisions), decisions, -np.inf)


def decisions_of(passes):
    return [made for layers in passes for _, made in layers if made is not None]


def deviations(exact, rounded, cases, methods):
    """(L) root mean square and (L) largest error of a layer's decisions, others given the exact bits."""
    errors = [[np.zeros(1)] for _ in range(exact.lookahead.layers)]
    for case in cases:
        for method in methods:
            want = run(exact, case, method)
            given = [made[None] for made in decisions_of(want)]
            for a, b in zip(want, run(rounded, case, method, given), strict=True):
                for layer, ((_, right), (_, made)) in enumerate(zip(a, b, strict=True)):
                    if right is not None:
                        errors[layer].append((made - right).ravel())
    flat = [np.concatenate(layer) for layer in errors]
    return (np.array([np.sqrt((layer ** 2).sum() / max(1, len(layer) - 1)) for layer in flat]),
            np.array([np.abs(layer).max() for layer in flat]))


def nearest(exact, cases, methods):
    """The decision closest to zero."""
    return min(float(np.abs(clipped(made)).min()) for case in cases for method in methods
               for made in decisions_of(run(exact, case, method)))


def is_steady(layers, length, row, allowed):
    """Whether the top node of `row` depends on steady decisions alone."""
    rows = np.arange(length) == row
    for (seen, made), bound in zip(reversed(layers), reversed(allowed), strict=True):
        if made is not None and not (np.abs(clipped(made))[rows] > bound).all():
            return False
        rows = seen[rows].any(0)
    return True


def steady_scores(exact, case, method, allowed):
    """1 or 0 a score, as the golden has them."""
    passes = run(exact, case, method)
    length = len(case["ids"]) + 2
    if method == "cls":
        return int(is_steady(passes[0], length, exact.lookahead.cls_position() % length, allowed))
    return [int(is_steady(passes[t % len(passes)], length, t + 1, allowed))
            for t in range(length - 2)]


def unmasked_bits(exact, case, allowed):
    """A number a position of the unmasked pass, layer after layer: its bits, and those of them that
    rounding may flip."""
    layers = run(exact, case, "maskless")[0]
    bits, unsure = [], []
    for l, (seen, made) in enumerate(layers):
        made = np.full((len(seen), 1), -np.inf) if made is None else clipped(made)
        power = 1 << np.arange(made.shape[1], dtype=np.int64)
        steady = [is_steady(layers[:l], len(seen), row, allowed[:l]) for row in range(len(seen))]
        near = (np.abs(made) <= allowed[l]) | (~np.array(steady)[:, None] & np.isfinite(made))
        bits += ((made >= 0) @ power).tolist()
        unsure += (near @ power).tolist()
    return bits, unsure
