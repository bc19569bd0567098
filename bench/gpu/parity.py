"""The gate before any timing: do all engines compute the same?

The reference is Hugging Face's model in float64. What B0, stock PyTorch in bf16, is off by is the
measure: the mean and the 99th percentile of |difference| of an engine's token log-probabilities may
be 1.2 times B0's, the largest twice (it is one value of thousands). The best hypothesis of a list
must be the reference's about as often as it is for B0.
"""

import json

import numpy as np
import torch

import copies

ALLOWED = {"mean": 1.2, "p99": 1.2, "largest": 2.0}
LISTS = 24


def reference(folder, tokens, tokenizer, device, batch=64):
    import transformers
    model = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager").eval().to(device)
    out = []
    with torch.no_grad():
        for arrays in copies.padded(tokens, batch, tokenizer.pad, tokenizer.mask):
            ids, mask, row, target = (torch.from_numpy(a).to(device) for a in arrays)
            hidden = model.bert(input_ids=ids, attention_mask=mask).last_hidden_state
            picked = model.cls(hidden[torch.arange(len(ids), device=device), row])
            out.append(picked.log_softmax(1).gather(1, target[:, None])[:, 0].cpu().numpy())
    return np.concatenate(out)


def best(logp, tokens, lists):
    """Index of the best hypothesis of each list."""
    plan = copies.Plan(tokens, 0, lay=False)
    sums = np.bincount(plan.hyp, weights=logp, minlength=len(tokens))
    return sums.reshape(lists, -1).argmax(1)


def compare(logp, expected, tokens, lists):
    apart = np.abs(np.asarray(logp, np.float64) - expected)
    same = best(logp, tokens, lists) == best(expected, tokens, lists)
    return {"mean": float(apart.mean()), "p99": float(np.quantile(apart, 0.99)),
            "largest": float(apart.max()), "same_best": int(same.sum()), "lists": lists}


def verdict(found, measure):
    """What an engine fails in; nothing when it passes. NaN fails."""
    out = [f"{key} {found[key]:.4g} above {factor} x {measure[key]:.4g}"
           for key, factor in ALLOWED.items() if not found[key] <= factor * measure[key]]
    if found["same_best"] < measure["same_best"] - max(1, found["lists"] // 20):
        out.append(f"best hypothesis of {found['same_best']} lists, B0 of {measure['same_best']}")
    return out


def gate(folder, texts, tokenizer, device, scratch, work, peers):
    """Lists of texts, scored by all: a record. What record["failed"] names does not pass."""
    tokens = tokenizer.tokens([text for hyps in texts for text in hyps])
    expected = reference(folder, tokens, tokenizer, device)
    path = scratch / "parity.jsonl"
    path.write_text("".join(json.dumps({"id": f"p{i}", "hyps": [{"text": t} for t in hyps]}) + "\n"
                            for i, hyps in enumerate(texts)))
    record = {"tokens": len(expected), "allowed": ALLOWED, "engines": {}, "failed": {}}
    for peer in peers:  # B0 first
        logp = peer.logp(tokens, work, path)
        if len(logp) != len(expected):
            record["failed"][peer.name] = [f"{len(logp)} tokens, not {len(expected)}"]
            continue
        found = record["engines"][peer.name] = compare(logp, expected, tokens, len(texts))
        if failed := verdict(found, record["engines"]["B0"]):
            record["failed"][peer.name] = failed
    return record
