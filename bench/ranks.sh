#!/bin/bash
# ranks.sh - how a run on this machine scales over its processors: ranks of mpirun and parts, a processor
# each, beside a lone process on one and beside unrelated processes on all. Bytes are compared.
#
# usage: bash bench/ranks.sh [--model DIR] [--limit N] [--shard-utts N] [--rounds N] [--workers 1,2,4] [FILE...]
#   --model DIR      the model (the embedded teacher)
#   --limit N        utterances of the lists (100)
#   --shard-utts N   utterances a shard (2)
#   --rounds N       times that every way is run, in turn (3)
#   FILE             N-best lists (the sample of bench/data)
#
# Keep the machine otherwise idle. Prints a Markdown table, leaves results.json in build/ranks/.
set -euo pipefail
case "${1:-}" in
  -h | --help) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/bench/build.sh" secondpass
lists=() options=() model=$root/bench/data/model
while [ $# -gt 0 ]; do
  case "$1" in
    --model) model=$2; shift 2 ;;
    --*) options+=("$1" "$2"); shift 2 ;;
    *) lists+=("$1"); shift ;;
  esac
done
[ ${#lists[@]} -gt 0 ] || lists=("$root/bench/data/dev-clean-200.jsonl.zst")
exec python3 -B "$root/bench/ranks/measure.py" --program "$root/build/release/secondpass" \
  --model "$model" --out "$root/build/ranks" ${options[@]+"${options[@]}"} -- "${lists[@]}"
