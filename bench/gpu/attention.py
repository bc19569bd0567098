"""The attentions that B1 chooses from; all read one (tokens, 3 * heads * width) tensor.

For even batches (sequences of one length L): the kernels behind scaled_dot_product_attention, each
by name; `grouped` sees 128 // L sequences as one under a constant block-diagonal mask, since a
kernel with 128-row tiles else does one sequence a tile; `math` is two plain products.
For packed batches: varlen_attn; `flex`, FlexAttention over all tokens with a mask of documents,
tiles that hold no common document left out; `dense` is for the self-test on a CPU.
Which are quickest depends on the device and the length, so b1.py times them.
"""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

TILE = 128
EVEN = ("flash", "cudnn", "efficient", "grouped", "math")
PACKED = ("varlen", "flex")
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION, "grouped": SDPBackend.EFFICIENT_ATTENTION,
            "any": SDPBackend.MATH}


def group(length):
    """Sequences of an even batch come in multiples of this."""
    return max(1, TILE // length)


def split(qkv, sequences, heads):
    """Queries, keys, values as (sequences, heads, length, width) views."""
    return qkv.view(sequences, -1, 3, heads, qkv.shape[1] // (3 * heads)).permute(2, 0, 3, 1, 4)


def merge(context):
    return context.transpose(1, 2).flatten(2).flatten(0, 1)


class Even:
    """Attention over `slots` sequences of one length."""

    def __init__(self, kind, weights, batch):
        self.kind, self.heads, self.scale = kind, weights.heads, weights.scale
        self.sequences, self.mask = batch.slots, None
        if kind == "grouped":
            self.sequences = batch.slots // group(batch.length)
            self.mask = self.block_diagonal(batch.length, weights)

    @staticmethod
    def block_diagonal(length, weights):
        rows = group(length) * length
        at = torch.arange(rows, device=weights.device) // length
        wide = torch.zeros(rows, -(-rows // 8) * 8, dtype=weights.dtype, device=weights.device)
        wide[:, :rows].masked_fill_(at[:, None] != at[None, :], float("-inf"))
        return wide[:, :rows]  # rows begin at multiples of 16 bytes, as the kernel asks

    def __call__(self, qkv):
        q, k, v = split(qkv, self.sequences, self.heads)
        if self.kind == "math":
            scores = (q @ k.transpose(2, 3)).float() * self.scale
            return merge(scores.softmax(3).to(q.dtype) @ v)
        with sdpa_kernel(BACKENDS[self.kind]):
            mask = self.mask if self.mask is None else self.mask.expand(len(q), self.heads, -1, -1)
            return merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self.scale))


class Varlen:
    def __init__(self, weights, longest, cu):
        from torch.nn.attention.varlen import varlen_attn
        self.attend, self.heads, self.scale = varlen_attn, weights.heads, weights.scale
        self.longest, self.cu = longest, cu.to(torch.int32)

    def __call__(self, qkv):
        q, k, v = qkv.view(len(qkv), 3, self.heads, -1).unbind(1)
        return self.attend(q, k, v, self.cu, self.cu, self.longest, self.longest,
                           scale=self.scale).flatten(1)


def documents(cu, tokens):
    """Of each token: its document, and where that begins and ends. Tokens behind the last sequence
    form documents of 64, so that no tile of theirs is crowded."""
    at = torch.arange(tokens, device=cu.device)
    last = len(cu) - 2
    sequence = torch.searchsorted(cu[1:], at, right=True)
    inside = sequence <= last
    nearest = sequence.clamp(max=last)
    tail = (at - cu[-1]).clamp(min=0) // 64
    tail_begin = cu[-1] + tail * 64
    begin = torch.where(inside, cu[nearest], tail_begin)
    end = torch.where(inside, cu[nearest + 1], (tail_begin + 64).clamp(max=tokens))
    return torch.where(inside, sequence, len(cu) + tail), begin, end


_flex = None


def compiled_flex():
    global _flex
    if _flex is None:
        from torch.nn.attention.flex_attention import flex_attention
        _flex = torch.compile(flex_attention, dynamic=False)
    return _flex


class Flex:
    def __init__(self, weights, cu, tokens):
        from torch.nn.attention.flex_attention import BlockMask
        self.heads, self.scale = weights.heads, weights.scale
        document, begin, end = documents(cu, tokens)
        low, high = begin[::TILE] // TILE, (end[TILE - 1::TILE] - 1) // TILE
        tiles = len(low)  # budgets are multiples of TILE
        columns = (low[:, None] + torch.arange(tiles, device=cu.device)) % tiles

        def same(b, h, q, k):
            return document[q] == document[k]

        self.mask = BlockMask.from_kv_blocks(
            (high - low + 1)[None, None].int(), columns[None, None].int(), BLOCK_SIZE=TILE,
            mask_mod=same, compute_q_blocks=False)

    def __call__(self, qkv):
        q, k, v = split(qkv, 1, self.heads)
        return merge(compiled_flex()(q, k, v, block_mask=self.mask, scale=self.scale))


class Dense:
    """All pairs of tokens under a mask: slow, and right anywhere."""

    def __init__(self, weights, cu, tokens):
        document, _, _ = documents(cu, tokens)
        self.heads, self.scale = weights.heads, weights.scale
        self.mask = document[:, None] == document[None, :]

    def __call__(self, qkv):
        q, k, v = split(qkv, 1, self.heads)
        return merge(F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, scale=self.scale))


def packed(kind, weights, longest, cu, tokens):
    if kind == "varlen":
        return Varlen(weights, longest, cu)
    return (Flex if kind == "flex" else Dense)(weights, cu, tokens)
