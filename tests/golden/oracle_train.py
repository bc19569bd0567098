"""Losses of a BERT encoder in float64 with PyTorch, whose autograd gives the gradients.

Written from the formulas (README.md), apart from the C code: one sequence at a time, attention and masks
written out, penalties by their definitions over whole matrices.
"""
import json
import math
import os

import torch
import torch.nn.functional as F

import oracle_numpy

GELU_TANH = lambda x: F.gelu(x, approximate="tanh")  # noqa: E731
ACTIVATIONS = {"gelu": F.gelu, "gelu_new": GELU_TANH, "gelu_pytorch_tanh": GELU_TANH, "relu": F.relu,
               "tanh": torch.tanh}
NEVER = -math.inf


def real(values):
    return torch.tensor(values, dtype=torch.float64)


class Masks:
    """Who sees whom in one sequence, and with which weight, by a config's "lookahead"."""

    def __init__(self, rule, layers, length):
        self.rule, self.layers, self.length = rule, layers, length
        at = torch.arange(length)
        self.distance = at[None, :] - at[:, None]  # j - i
        self.cls = length - 1 if rule.get("cls", "first") == "last" else 0

    def reach(self, layer):
        if self.rule["policy"] not in ("layerwise", "dynamic"):
            return 0
        return self.rule["layers"][layer] if "layers" in self.rule else self.rule["max"]

    def scheduled(self, layer):
        return self.rule["policy"] == "dynamic" and self.reach(layer) > 0

    def hidden(self):
        return self.rule.get("cls_view", "bound") == "hidden"

    def exempt(self, layer):
        last = self.rule.get("cls_view", "bound") == "last-layer" and layer == self.layers - 1
        return self.hidden() or last

    def columns(self, seen, value):
        """`seen` with the cls column gone where it is hidden."""
        if self.hidden():
            seen = seen.clone()
            seen[:, self.cls] = value
        return seen

    def past(self):
        seen = (self.distance <= 0) & (-self.distance <= self.rule.get("left", self.length))
        return self.columns(seen, False)

    def ahead(self, layer, soft):
        """(S, S) weights of columns past the row's own; soft: (S, R) of a scheduled layer."""
        d, at = self.distance, torch.arange(self.length)
        if self.scheduled(layer):
            reach = self.reach(layer)
            spread = torch.gather(soft, 1, (d - 1).clamp(0, reach - 1))
            return self.columns(torch.where((d >= 1) & (d <= reach), spread, 0), 0)
        seen = (d >= 1) & (d <= self.reach(layer))
        if self.rule["policy"] == "chunked":
            chunk = at // self.rule["chunk"]
            seen = (d >= 1) & (chunk[:, None] == chunk[None, :])
        return self.columns(seen.double(), 0)

    def log_weights(self, layer, soft, log_soft):
        """(S, S) what is added to the logits of attention."""
        if self.rule["policy"] == "full":
            return torch.zeros(self.length, self.length, dtype=torch.float64)
        ahead = self.ahead(layer, soft)
        log_ahead = self.ahead(layer, log_soft) if self.scheduled(layer) else torch.zeros_like(ahead)
        out = torch.where(self.past(), 0, torch.where(ahead > 0, log_ahead, NEVER))
        if self.exempt(layer):
            row = torch.arange(self.length)[:, None] == self.cls
            out = torch.where(row, 0, out)
        return out


class Model:
    def __init__(self, directory):
        with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        arrays = oracle_numpy.read_safetensors(os.path.join(directory, "model.safetensors"))
        self.tensors = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True)
                        for name, array in arrays.items()}
        self.layers = self.config["num_hidden_layers"]
        self.rule = self.config.get("lookahead", {"policy": "full"})
        self.act = ACTIVATIONS[self.config["hidden_act"]]

    def dense(self, x, name):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt((centred ** 2).mean(-1, keepdim=True)
                                      + self.config["layer_norm_eps"])
        return scaled * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def soften(self, x, layer, tau):
        """A scheduler on a layer's input (S, D): a and log a, (S, R)."""
        base = f"bert.encoder.layer.{layer}.lookahead."
        if self.rule.get("hidden_size"):
            x = ACTIVATIONS[self.rule.get("hidden_act", "tanh")](self.dense(x, base + "hidden"))
        log_soft = F.logsigmoid(tau * self.dense(x, base + "dense"))
        if self.rule.get("cells", "independent") == "span":
            log_soft = torch.cumsum(log_soft, -1)
        return torch.exp(log_soft), log_soft

    def attention(self, x, base, log_weights):
        heads, (length, width) = self.config["num_attention_heads"], x.shape

        def split(name):
            return self.dense(x, f"{base}self.{name}").reshape(length, heads, -1).transpose(0, 1)

        query, key, value = split("query"), split("key"), split("value")
        logits = query @ key.transpose(1, 2) / math.sqrt(width // heads) + log_weights
        mixed = (torch.softmax(logits, -1) @ value).transpose(0, 1).reshape(length, width)
        return self.norm(x + self.dense(mixed, base + "output.dense"), base + "output.LayerNorm")

    def encode(self, ids, tau):
        """Rows (S, D) of one sequence, its masks, and the soft ones of each layer (None: not soft)."""
        masks, soft = Masks(self.rule, self.layers, len(ids)), []
        name = "bert.embeddings."
        x = (self.tensors[name + "word_embeddings.weight"][ids]
             + self.tensors[name + "position_embeddings.weight"][:len(ids)]
             + self.tensors[name + "token_type_embeddings.weight"][0])
        x = self.norm(x, name + "LayerNorm")
        for i in range(self.layers):
            base = f"bert.encoder.layer.{i}."
            a, log_a = self.soften(x, i, tau) if masks.scheduled(i) else (None, None)
            soft.append(a)
            x = self.attention(x, base + "attention.", masks.log_weights(i, a, log_a))
            inner = self.act(self.dense(x, base + "intermediate.dense"))
            x = self.norm(x + self.dense(inner, base + "output.dense"), base + "output.LayerNorm")
        return x, masks, soft

    def token_losses(self, rows, targets):
        """rows (N, D), targets (N): -log P of each, summed."""
        hidden = self.act(self.dense(rows, "cls.predictions.transform.dense"))
        hidden = self.norm(hidden, "cls.predictions.transform.LayerNorm")
        decoder = self.tensors["bert.embeddings.word_embeddings.weight"]
        bias = self.tensors.get("cls.predictions.bias")
        if not self.config["tie_word_embeddings"]:
            decoder = self.tensors["cls.predictions.decoder.weight"]
            bias = self.tensors["cls.predictions.decoder.bias"]
        return F.cross_entropy(hidden @ decoder.T + bias, torch.tensor(targets), reduction="sum")

    def score(self, x, masks):
        x = x[masks.cls]
        if "bert.pooler.dense.weight" in self.tensors:
            x = torch.tanh(self.dense(x, "bert.pooler.dense"))
        if "classifier.dense.weight" in self.tensors:
            between = ACTIVATIONS[self.config.get("classifier_act", "tanh")]
            return self.dense(between(self.dense(x, "classifier.dense")), "classifier.out_proj")[0]
        return self.dense(x, "classifier")[0]


# ---- losses on lists; scores are log-probabilities ----

def mwer(scores, errors):
    return (torch.softmax(scores, 0) * (errors - errors.mean())).sum()


def mwed(scores, errors, detach):
    temperature = scores.sum() / errors.sum()
    if detach:
        temperature = temperature.detach()
    wanted = torch.log_softmax(errors, 0)
    return (wanted.exp() * (wanted - torch.log_softmax(scores / temperature, 0))).sum()


def list_loss(run, scores, first, errors, teacher):
    """scores: tensors of one list; the others numbers or None."""
    there = [i for i in range(len(scores)) if first[i] is not None and errors[i] is not None]
    taught = [i for i in range(len(scores)) if teacher[i] is not None]
    loss = real(0.0)
    for i in taught:
        loss = loss + run["distill_weight"] * (scores[i] - teacher[i]) ** 2
    kept = real([errors[i] for i in there])
    if run["objective"] == "distill" or len(there) < 2:
        return loss
    total = torch.stack([first[i] + run["beta"] * scores[i] for i in there])
    if run["objective"] == "mwer":
        return loss + mwer(total, kept)
    return loss if kept.sum() == 0 else loss + mwed(total, kept, run["detach"])


# ---- penalties ----

def latency(masks, soft):
    """Soft algorithmic latency of every position."""
    delta = torch.zeros(masks.length, dtype=torch.float64)
    for layer in range(masks.layers):
        reached = masks.distance + delta[None, :]
        ahead = real([[0.0] * masks.length] * masks.length)
        if masks.scheduled(layer):
            ahead = masks.ahead(layer, soft[layer])
        values = torch.where(masks.past(), reached, torch.where(ahead > 0, ahead * reached, NEVER))
        above = torch.clamp(values, min=NEVER).max(1).values
        if masks.exempt(layer):
            above = torch.where(torch.arange(masks.length) == masks.cls, 0, above)
        delta = above
    return delta


def rows_that_count(masks, layer):
    rows = torch.ones(masks.length, dtype=torch.bool)
    rows[masks.cls] = not masks.exempt(layer)
    return rows


def released(masks, below, ahead):
    """F^l (S, T) from F^{l-1}: the probability that row i is released at t or before."""
    past = torch.where(masks.past()[:, :, None], below[None], 1.0).prod(1)
    waits = (1 - ahead[:, :, None] * (1 - below[None])).prod(1)
    return past * waits


def backlog(masks, soft, costs):
    node, key, scheduler, capacity = costs
    length, end = masks.length, torch.arange(masks.length) == masks.length - 1
    release = torch.triu(torch.ones(length, length, dtype=torch.float64))
    work = torch.zeros(length, dtype=torch.float64)

    def due(cost, by_then):
        return (cost * (by_then - F.pad(by_then, (1, 0))[:, :-1])).sum(0)

    for layer in range(masks.layers):
        if masks.scheduled(layer):
            work = work + scheduler * due(1, release)
        ahead = masks.ahead(layer, soft[layer])
        seen = masks.past().sum(1) + ahead.sum(1)
        counts = rows_that_count(masks, layer)
        release = torch.where(counts[:, None], released(masks, release, ahead), end.double()[None])
        cost = node + key * torch.where(counts, seen, length)
        work = work + due(cost[:, None], release)
    left = real(0.0)
    for t in range(length):
        left = torch.clamp(left + work[t] - capacity, min=0)
    return left / capacity


def penalty(run, encoded):
    """Of a batch: encoded is (masks, soft) of each sequence."""
    kind, average = run["penalty"], run["average"]
    if kind == "computational":
        return sum(backlog(m, s, run["costs"]) for m, s in encoded) / len(encoded)
    positions = sum(m.length for m, _ in encoded)
    total = real(0.0)
    for masks, soft in encoded:
        if kind == "naive":
            for layer in range(masks.layers):
                if masks.scheduled(layer):
                    ahead = masks.ahead(layer, soft[layer])
                    total = total + ahead[rows_that_count(masks, layer)].sum() / masks.layers
        else:
            delta = latency(masks, soft)
            part = delta / average if kind == "relative-ema" else torch.clamp(delta - average, min=0)
            total = total + part.sum()
    return total / positions


# ---- a batch ----

def token_loss(model, batch, encoded):
    total, count = real(0.0), 0
    for (rows, _, _), targets in zip(encoded, batch["targets"], strict=True):
        if targets:
            total = total + model.token_losses(rows[[t[0] for t in targets]], [t[1] for t in targets])
            count += len(targets)
    return total / count


def mean_list_loss(model, run, batch, encoded):
    scores, total, at = [model.score(rows, masks) for rows, masks, _ in encoded], real(0.0), 0
    for size in batch["lists"]:
        part = slice(at, at + size)
        total = total + list_loss(run, scores[part], batch["first"][part], batch["errors"][part],
                                  batch["teacher"][part])
        at += size
    return total / len(batch["lists"])


def loss(model, run, batch):
    """The loss of a batch without its penalty, and the penalty (None: none asked for)."""
    encoded = [model.encode(ids, run["tau"]) for ids in batch["ids"]]
    if run["objective"] == "mlm":
        value = token_loss(model, batch, encoded)
    else:
        value = mean_list_loss(model, run, batch, encoded)
    asked = run["penalty"] != "none"
    return value, penalty(run, [(m, s) for _, m, s in encoded]) if asked else None


# ---- a run ----

def word_errors(hypothesis, reference):
    """Least substitutions, insertions and deletions."""
    row = list(range(len(reference) + 1))
    for i, word in enumerate(hypothesis):
        last, row[0] = row[0], i + 1
        for j, other in enumerate(reference):
            last, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, last + (word != other))
    return row[-1]


def rate_of(run, step):
    """Linear warm-up, then linear down to end_rate at the last step."""
    if step <= run["warmup"]:
        return run["rate"] * step / run["warmup"]
    left = (run["steps"] - step) / (run["steps"] - run["warmup"])
    return run["end_rate"] + (run["rate"] - run["end_rate"]) * left


def train(model, run, batch):
    """Steps of AdamW on the whole batch, in place; loss and gradient norm of each. Vectors and token
    types, of which one row is read, do not decay."""
    tensors = list(model.tensors.values())
    types = model.tensors["bert.embeddings.token_type_embeddings.weight"]
    groups = [{"params": [t for t in tensors if t.ndim == 2 and t is not types],
               "weight_decay": run["weight_decay"]},
              {"params": [t for t in tensors if t.ndim == 1 or t is types], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(run["beta1"], run["beta2"]), eps=run["eps"])
    losses, average = [], 0.0
    for step in range(1, run["steps"] + 1):
        done = (step - 1) / (run["steps"] - 1)
        now = {**run, "average": average, "tau": run["tau"] * (run["tau_end"] / run["tau"]) ** done}
        if average == 0:
            now["penalty"] = "none"
        for group in optimiser.param_groups:
            group["lr"] = rate_of(run, step)
        optimiser.zero_grad()
        value, asked = loss(model, now, batch)
        (value if asked is None else value + run["weight"] * asked).backward()
        for tensor in tensors:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        norm = torch.nn.utils.clip_grad_norm_(tensors, run["clip"]).item()
        losses.append([value.item(), norm])
        if run["penalty"] != "none":
            average = next_average(model, now["tau"], batch, average, run["momentum"])
        optimiser.step()
    return losses


def next_average(model, tau, batch, average, momentum):
    with torch.no_grad():
        found = torch.cat([latency(m, s) for _, m, s in (model.encode(i, tau) for i in batch["ids"])])
    mean = found.mean().item()
    return mean if average == 0 else momentum * average + (1 - momentum) * mean
