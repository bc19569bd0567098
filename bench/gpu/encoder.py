"""B1's encoder as plain functions of tensors, so that torch.compile sees one block for all layers.

bf16 throughout, exact GELU, one QKV product, biases in the products. Heads are padded with zero
columns to a multiple of 8 (26 to 32: what the attention kernels take without copying), the
vocabulary to a multiple of 64 (30,522 is a size that matrix products are slow at).
"""

import math

import torch
import torch.nn.functional as F

from work import shapes

EPS = 1e-12


def embed(ids, place, words, places, kind, gain, shift, qkv, qkv_bias):
    x = F.layer_norm(words[ids] + places[place] + kind, kind.shape, gain, shift, EPS)
    return x, F.linear(x, qkv, qkv_bias)


def finish(context, x, out, out_bias, gain1, shift1, up, up_bias, down, down_bias, gain2, shift2):
    """A layer behind its attention."""
    x = F.layer_norm(x + F.linear(context, out, out_bias), gain1.shape, gain1, shift1, EPS)
    wide = F.gelu(F.linear(x, up, up_bias))
    return F.layer_norm(x + F.linear(wide, down, down_bias), gain2.shape, gain2, shift2, EPS)


def block(context, x, layer, qkv, qkv_bias):
    """A layer behind its attention, and the next one's queries, keys and values."""
    x = finish(context, x, *layer)
    return x, F.linear(x, qkv, qkv_bias)


def head(x, target, dense, bias, gain, shift, words, words_bias):
    """Log-probability of each row's target."""
    x = F.layer_norm(F.gelu(F.linear(x, dense, bias)), gain.shape, gain, shift, EPS)
    logits = F.linear(x, words, words_bias)
    return logits.gather(1, target[:, None])[:, 0].float() - torch.logsumexp(logits.float(), 1)


def constants(tensors):
    """Parameters: torch.compile never takes their sizes for variables."""
    return tuple(torch.nn.Parameter(t, requires_grad=False) for t in tensors)


class Weights:
    def __init__(self, folder, shape, dtype, device):
        self.raw = shapes.load_weights(folder)
        self.dtype, self.device = dtype, device
        self.heads, self.layers = shape["heads"], shape["layers"]
        self.width = shape["hidden"] // self.heads  # of a head
        self.padded = 32 if self.width == 26 else -(-self.width // 8) * 8
        self.scale = 1 / math.sqrt(self.width)
        e = "bert.embeddings."
        words = self.raw[e + "word_embeddings.weight"]
        self.embed = (self.tensor(words), self.take(e + "position_embeddings.weight"),
                      self.take(e + "token_type_embeddings.weight")[0], *self.pair(e + "LayerNorm"))
        self.embed = constants(self.embed)
        self.qkv = [constants(self.join(i)) for i in range(self.layers)]
        self.layer = [constants(self.rest(i)) for i in range(self.layers)]
        self.head = constants(self.make_head(words))
        del self.raw

    def tensor(self, array):
        return torch.as_tensor(array).to(self.device, self.dtype)

    def take(self, name):
        return self.tensor(self.raw[name])

    def pair(self, name):
        return self.take(name + ".weight"), self.take(name + ".bias")

    def join(self, i):
        """Weight and bias of one product for queries, keys and values, heads padded."""
        weights, biases = [], []
        for part in ("query", "key", "value"):
            weight, bias = self.pair(f"bert.encoder.layer.{i}.attention.self.{part}")
            rows = weight.new_zeros(self.heads, self.padded, weight.shape[1])
            rows[:, : self.width] = weight.view(self.heads, self.width, -1)
            ends = bias.new_zeros(self.heads, self.padded)
            ends[:, : self.width] = bias.view(self.heads, self.width)
            weights.append(rows.flatten(0, 1))
            biases.append(ends.flatten())
        return torch.cat(weights), torch.cat(biases)

    def rest(self, i):
        at = f"bert.encoder.layer.{i}."
        weight, bias = self.pair(at + "attention.output.dense")
        out = weight.new_zeros(weight.shape[0], self.heads, self.padded)
        out[:, :, : self.width] = weight.view(-1, self.heads, self.width)
        return (out.flatten(1), bias, *self.pair(at + "attention.output.LayerNorm"),
                *self.pair(at + "intermediate.dense"), *self.pair(at + "output.dense"),
                *self.pair(at + "output.LayerNorm"))

    def make_head(self, words):
        size = -(-len(words) // 64) * 64
        weight = torch.zeros(size, words.shape[1])
        weight[: len(words)] = torch.from_numpy(words)
        bias = torch.full((size,), -1e30)
        bias[: len(words)] = torch.from_numpy(self.raw["cls.predictions.bias"])
        at = "cls.predictions.transform."
        return (*self.pair(at + "dense"), *self.pair(at + "LayerNorm"), self.tensor(weight),
                self.tensor(bias))
