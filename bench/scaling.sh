#!/bin/bash
# scaling.sh - how a run of many workers scales: simulated, with the engine's own dealing of shards, real
# lengths, a speed that is given or measured here, and calls to a directory that are assumed or measured.
#
# usage: bash bench/scaling.sh [--lists FILE]... [--measure] [--model DIR] [OPTION...]
#   --lists FILE   N-best lists whose lengths are used (the sample of bench/data, which is short)
#   --measure      scores the lists here first, in small and in large shards, and fits seconds of a shard
#                  (keep the machine otherwise idle); without it they follow from --device-flops
#   --model DIR    vocabulary, and with --measure the model (the embedded one)
#   other options  are the simulator's: build/release/scaling --help
#
# Prints Markdown tables and leaves table.md and results.json in build/scaling/.
set -euo pipefail
case "${1:-}" in
  -h | --help) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
work=$root/build/scaling
lists=() options=() model=$root/bench/data/model measure=
while [ $# -gt 0 ]; do
  case "$1" in
    --lists) lists+=("$2"); shift 2 ;;
    --model) model=$2; shift 2 ;;
    --measure) measure=1; shift ;;
    *) options+=("$1"); shift ;;
  esac
done
[ ${#lists[@]} -gt 0 ] || lists=("$root/bench/data/dev-clean-200.jsonl.zst")

bash "$root/bench/build.sh" secondpass scaling
mkdir -p "$work"
if [ -n "$measure" ]; then
  for utts in 20 80; do
    rm -rf "$work/run-$utts"
    "$build/secondpass" score --model "$model" --shard-utts "$utts" --out "$work/run-$utts" "${lists[@]}"
    options+=(--fit "$work/run-$utts")
  done
  options+=(--shape model)
fi
"$build/scaling" --model "$model" --json "$work/results.json" "${options[@]}" "${lists[@]}" |
  tee "$work/table.md"
