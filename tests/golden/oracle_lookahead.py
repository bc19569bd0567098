"""Which positions a row sees, and the schedulers that decide it: lookahead masks for oracle_numpy.py.

Written from the definitions of ANCAT (Strimel et al. 2023) as tests/golden/README.md states them.
"""
import numpy as np


class Lookahead:
    """The member "lookahead" of the config of a model with so many layers."""

    def __init__(self, rule, layers):
        self.rule, self.layers, self.policy = rule, layers, rule["policy"]

    def reach(self, layer):
        """R of layerwise and dynamic."""
        return self.rule["layers"][layer] if "layers" in self.rule else self.rule["max"]

    def is_scheduled(self, layer):
        return self.policy == "dynamic" and self.reach(layer) > 0

    def decisions(self, logits):
        """(.., R) logits to what is at least 0 where the bit is set."""
        if self.rule.get("cells", "independent") == "independent":
            return logits
        tau = logits.dtype.type(self.rule.get("tau", 1.0))
        return np.cumprod(1 / (1 + np.exp(-tau * logits)), -1) - logits.dtype.type(0.5)

    def ahead(self, layer, i, j, bits):
        """For j > i."""
        if self.policy == "layerwise":
            return j - i <= self.reach(layer)
        if self.policy == "chunked":
            return i // self.rule["chunk"] == j // self.rule["chunk"]
        if not self.is_scheduled(layer):
            return np.zeros((1, 1), bool)
        reach = self.reach(layer)
        within = (j - i >= 1) & (j - i <= reach)
        return within & np.take_along_axis(bits, np.clip(j - i - 1, 0, reach - 1)[None], -1)

    def seen(self, layer, length, bits):
        """(1 or B, S, S): row i sees column j. bits: (B, S, R) where the layer is scheduled."""
        i, j = np.ogrid[:length, :length]
        if self.policy == "full":
            return np.ones((1, length, length), bool)
        past = (j <= i) & (i - j <= self.rule.get("left", length))
        seen = past | (j > i) & self.ahead(layer, i, j, bits)
        return self.exempted(seen.reshape(-1, length, length), layer)

    def exempted(self, seen, layer):
        """With the scored row of cls seeing everything, where the config says so."""
        view, cls = self.rule.get("cls_view", "bound"), self.cls_position()
        if view == "hidden":
            seen[:, :, cls] = False
        if view == "hidden" or (view == "last-layer" and layer == self.layers - 1):
            seen[:, cls, :] = True
        return seen

    def cls_position(self):
        return -1 if self.rule.get("cls", "first") == "last" else 0
