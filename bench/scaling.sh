#!/bin/bash
# scaling.sh - how a run of many workers scales: simulated, with the engine's own dealing of shards, real
# lengths, a speed that is given or measured here, and calls to a directory that are assumed or measured.
#
# usage: bash bench/scaling.sh [--lists FILE]... [--measure N] [--model DIR] [OPTION...]
#   --lists FILE   N-best lists whose lengths are used (the sample of bench/data, which is short)
#   --measure N    scores their first N utterances here first, in small and in large shards, with as many
#                  processes at once as there are processors, and fits seconds of a shard on one (keep the
#                  machine otherwise idle); without it they follow from --device-flops
#   --model DIR    vocabulary, and with --measure the model (the embedded one)
#   other options  are the simulator's: build/release/scaling --help
#
# Prints Markdown tables and leaves table.md and results.json in build/scaling/.
set -euo pipefail
case "${1:-}" in
  -h | --help) sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
work=$root/build/scaling
lists=() options=() model=$root/bench/data/model measure=
while [ $# -gt 0 ]; do
  case "$1" in
    --lists) lists+=("$2"); shift 2 ;;
    --model) model=$2; shift 2 ;;
    --measure) measure=$2; shift 2 ;;
    *) options+=("$1"); shift ;;
  esac
done
[ ${#lists[@]} -gt 0 ] || lists=("$root/bench/data/dev-clean-200.jsonl.zst")

bash "$root/bench/build.sh" secondpass scaling
mkdir -p "$work"
# measure UTTS: runs of shards of so many utterances, as many at once as there are processors.
measure() {
  local i processes=()
  for i in $(seq "$(nproc)"); do
    rm -rf "$work/run-$1-$i"
    "$build/secondpass" score --model "$model" --limit "$measure" --threads 1 --shard-utts "$1" \
      --part none --progress none --out "$work/run-$1-$i" "${lists[@]}" &
    processes+=($!)
    options+=(--fit "$work/run-$1-$i")
  done
  for i in "${processes[@]}"; do wait "$i"; done
}

if [ -n "$measure" ]; then
  measure 2
  measure 8
  options+=(--shape model)
fi
"$build/scaling" --model "$model" --json "$work/results.json" "${options[@]}" "${lists[@]}" |
  tee "$work/table.md"
