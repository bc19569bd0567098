#!/bin/bash
# agreement.sh - how much of a result depends on the dtype: scores an archive in f32 and in bf16.
#
# usage: bash bench/agreement.sh MODEL ARCHIVE [SCORE_OPTION...]
# Prints the share of lists whose best hypothesis is the same (by the score alone), and the mean and
# largest difference a token. Run directories stay in build/agreement and are resumed.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$root/build/release/secondpass
model=$1
archive=$2
shift 2
work=$root/build/agreement/$(printf '%s\n' "$model" "$archive" "$@" | cksum | cut -d' ' -f1)
mkdir -p "$work"
for dtype in f32 bf16; do
  "$program" score --model "$model" --dtype "$dtype" --per-token --out "$work/$dtype" "$@" "$archive"
  "$program" cat "$work/$dtype" >"$work/$dtype.jsonl"
done
python3 - "$work/f32.jsonl" "$work/bf16.jsonl" <<'PY'
import json
import sys

lists = same = tokens = 0
total = signed = largest = 0.0
for left, right in zip(open(sys.argv[1]), open(sys.argv[2]), strict=True):
    a, b = json.loads(left), json.loads(right)
    assert a["id"] == b["id"]
    best = [max((h for h in line["hyps"] if h["pll"] is not None),
                key=lambda h: (h["pll"], -h["i"]), default={"i": None})["i"] for line in (a, b)]
    lists += 1
    same += best[0] == best[1]
    for x, y in zip(a["hyps"], b["hyps"], strict=True):
        for p, q in zip(x.get("logp") or [], y.get("logp") or [], strict=True):
            tokens += 1
            total += abs(p - q)
            signed += q - p
            largest = max(largest, abs(p - q))
print(f"lists {lists}, same best hypothesis {same} ({100 * same / lists:.3f} %)")
print(f"tokens {tokens}, |f32 - bf16| mean {total / tokens:.6f} nats, largest {largest:.4f}, "
      f"mean of bf16 - f32 {signed / tokens:+.6f}")
PY
