"""The best BERT training that we could write in PyTorch for a CPU: one packed sequence without padding
for all products, attention over groups of similar length, one QKV product, the head at the masked
rows only, fused AdamW.

Precision  "autocast": f32 weights under bf16 autocast; "bf16": bf16 weights and activations with f32
           masters; "f32": all of it
Groups     sequences of a batch sorted by length and cut into `groups` runs of near lengths, padded
           inside attention alone; 0: one group a length, nothing is padded
Attention  "fused": PyTorch's scaled_dot_product_attention; "plain": two batched products and a softmax
"""

import pathlib

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F

import work

NAMES = ("attention.self.query", "attention.self.key", "attention.self.value")


class Batch:
    """Packed: ids, positions (T); rows of targets and their ids (N); groups for attention, each
    (sequences, length, index of its padded rows or None, mask or None); `back`, the padded row of each
    packed one, or None."""

    def __init__(self, sequences, groups):
        sequences = sorted(sequences, key=lambda s: len(s[0]))
        lengths = np.array([len(ids) for ids, _, _ in sequences])
        start = np.cumsum(lengths) - lengths
        self.tokens = int(lengths.sum())
        self.ids = torch.tensor([i for ids, _, _ in sequences for i in ids])
        self.positions = torch.cat([torch.arange(n) for n in lengths])
        self.rows = torch.tensor(np.concatenate([s + rows for s, (_, rows, _) in
                                                 zip(start, sequences)]))
        self.targets = torch.tensor([t for _, _, targets in sequences for t in targets])
        self.groups = [self.group(lengths[a:b], start[a:b]) for a, b in cut(lengths, groups)]

    @staticmethod
    def group(lengths, start):
        longest, first = int(lengths[-1]), int(start[0])
        rows = int(lengths.sum())
        if lengths[0] == longest:
            return len(lengths), longest, first, rows, None, None, None
        place = np.arange(longest)
        real = place[None, :] < lengths[:, None]
        index = torch.tensor(np.where(real, start[:, None] - first + place, 0).reshape(-1))
        back = torch.tensor(np.flatnonzero(real))
        mask = torch.zeros(real.shape).masked_fill(torch.tensor(~real), -torch.inf)
        return len(lengths), longest, first, rows, index, mask[:, None, None, :], back


def cut(lengths, groups):
    """Ends of runs of the sorted lengths: equal ones, or `groups` of about as many rows each."""
    if not groups:
        edges = np.flatnonzero(np.diff(lengths)) + 1
    else:
        share = np.cumsum(lengths) / lengths.sum()
        edges = np.unique(np.searchsorted(share, np.arange(1, groups) / groups) + 1)
    edges = [0, *edges[edges < len(lengths)].tolist(), len(lengths)]
    return list(zip(edges, edges[1:]))


def plain_attention(q, k, v, mask):
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3))
    if mask is not None:
        scores = scores + mask
    return torch.matmul(torch.softmax(scores, -1), v)


class Encoder(torch.nn.Module):
    """A BertForMaskedLM whose weights come from a Hugging Face directory and go back to one."""

    def __init__(self, folder, shape):
        super().__init__()
        self.layers, self.heads = shape["layers"], shape["heads"]
        weights = safetensors.torch.load_file(pathlib.Path(folder) / "model.safetensors")
        for i in range(self.layers):
            for kind in ("weight", "bias"):
                at = f"bert.encoder.layer.{i}."
                weights[f"{at}qkv.{kind}"] = torch.cat(
                    [weights.pop(f"{at}{part}.{kind}") for part in NAMES])
        for name, tensor in weights.items():
            self.register_parameter(self.key(name), torch.nn.Parameter(tensor.float()))
        self.names = list(weights)
        self.attend = F.scaled_dot_product_attention

    @staticmethod
    def key(name):
        return name.replace(".", "_")

    def get(self, name):
        return getattr(self, self.key(name))

    def tensors(self):
        """Under Hugging Face's names, (out, in)."""
        out = {}
        for name in self.names:
            tensor = self.get(name).detach().float()
            if ".qkv." in name:
                for part, piece in zip(NAMES, tensor.chunk(3)):
                    out[name.replace("qkv", part)] = piece.contiguous()
            else:
                out[name] = tensor.contiguous()
        return out

    def compile(self):
        """The parts between attentions, whose only size that changes is the rows."""
        self.begin, self.end = (torch.compile(f, dynamic=True) for f in (self.begin, self.end))

    def linear(self, x, name):
        return F.linear(x, self.get(name + ".weight"), self.get(name + ".bias"))

    def norm(self, x, name):
        weight = self.get(name + ".weight")
        return F.layer_norm(x, weight.shape, weight, self.get(name + ".bias"), 1e-12)

    def begin(self, ids, positions):
        e = "bert.embeddings."
        x = F.embedding(ids, self.get(e + "word_embeddings.weight"))
        x = x + F.embedding(positions, self.get(e + "position_embeddings.weight"))
        return self.norm(x + self.get(e + "token_type_embeddings.weight")[0], e + "LayerNorm")

    def end(self, x, context, i):
        at = f"bert.encoder.layer.{i}."
        x = self.norm(x + self.linear(context, at + "attention.output.dense"),
                      at + "attention.output.LayerNorm")
        wide = F.gelu(self.linear(x, at + "intermediate.dense"))
        return self.norm(x + self.linear(wide, at + "output.dense"), at + "output.LayerNorm")

    def attention(self, qkv, batch):
        out = []
        for count, length, first, rows, index, mask, back in batch.groups:
            part = qkv[first:first + rows]
            part = part if index is None else part.index_select(0, index)
            q, k, v = part.view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            context = self.attend(q, k, v, mask if mask is None else mask.to(q.dtype))
            context = context.transpose(1, 2).reshape(count * length, -1)
            out.append(context if back is None else context.index_select(0, back))
        return torch.cat(out)

    def forward(self, batch):
        """The sum of the targets' losses, in nats."""
        x = self.begin(batch.ids, batch.positions)
        for i in range(self.layers):
            qkv = self.linear(x, f"bert.encoder.layer.{i}.qkv")
            x = self.end(x, self.attention(qkv, batch), i)
        x = self.norm(F.gelu(self.linear(x[batch.rows], "cls.predictions.transform.dense")),
                      "cls.predictions.transform.LayerNorm")
        logits = F.linear(x, self.get("bert.embeddings.word_embeddings.weight"),
                          self.get("cls.predictions.bias"))
        return F.cross_entropy(logits.float(), batch.targets, reduction="sum")


class Training:
    """An optimiser step a call. rate(step): from step 1."""

    def __init__(self, model, precision, rate, decay=0.01, clip=1.0, betas=(0.9, 0.999), eps=1e-8):
        self.model, self.precision, self.rate, self.clip, self.done = model, precision, rate, clip, 0
        self.masters = list(model.parameters())
        if precision == "bf16":
            self.masters = [p.detach().clone().requires_grad_() for p in self.masters]
            model.to(torch.bfloat16)
        matrices = [p for p in self.masters if p.ndim >= 2]
        vectors = [p for p in self.masters if p.ndim < 2]
        self.optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=decay),
                                            dict(params=vectors, weight_decay=0.0)],
                                           lr=rate(1), betas=betas, eps=eps, fused=True)

    def loss(self, batch, targets):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "autocast"):
            return self.model(batch) / targets

    def step(self, batches):
        """Mean loss of the step's targets."""
        self.done += 1
        targets, total = sum(len(batch.targets) for batch in batches), 0.0
        for batch in batches:
            loss = self.loss(batch, targets)
            loss.backward()
            total += float(loss.detach())
        if self.precision == "bf16":
            for master, weight in zip(self.masters, self.model.parameters()):
                master.grad, weight.grad = weight.grad.float(), None
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.masters, self.clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.done)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.precision == "bf16":
            with torch.no_grad():
                torch._foreach_copy_(list(self.model.parameters()), self.masters)
        return total


def steps_of(ids, plan, words, vocab, rate, shown, groups, budget, seed):
    """Steps of batches with fresh masks: plan holds the samples of each step; of `ids`, the tokens of
    all samples."""
    draw = np.random.default_rng(seed)
    lengths = [len(i) + 2 for i in ids]
    for step in plan:
        step = sorted(step, key=lengths.__getitem__)
        yield [Batch([work.masked(ids[i], words, vocab, rate, shown, draw) for i in batch], groups)
               for batch in packs(step, lengths, budget)]


def packs(step, lengths, budget):
    """A step cut into batches of at most `budget` tokens."""
    out, tokens = [[]], 0
    for item in step:
        if out[-1] and tokens + lengths[item] > budget:
            out.append([])
            tokens = 0
        out[-1].append(item)
        tokens += lengths[item]
    return out
