#!/bin/bash
# lookahead_train.sh - one full-mask checkpoint fine-tuned under masks side by side, with equal tokens.
#
# usage: bash bench/lookahead_train.sh --text FILE --dev FILE.. --test FILE [OPTION...]
#   --text FILE           sentences, a line each, .zst too; every 1,000th is held out
#   --dev FILE.. --test FILE   10-best archives: the weight is tuned on dev, test is counted once
#   --model DIR           the checkpoint (the model of bench/data)
#   --out DIR             everything that is made; table.md, results.json (build/lookahead-train)
#   --text-lines N        of the text (200000)
#   --train-args 'OPTIONS'     of every run of `secondpass train` (--steps 2000 --step-tokens 4096 ..)
#   --reach R             most positions ahead of a dynamic layer (2)
#   --penalty KIND        of dynamic masks (relative-ema)
#   --penalties W,W       its weights, a run each (0.1,1)
#   --dynamic-args 'OPTIONS'   of dynamic runs, as --dynamic-args='--tau-end 0.05'
#   --method NAME         of rescoring (pll)
#   --limit-lists N N     dev and test lists, taken evenly; 0: all (1000 0)
#   --rounds N --speed-lists N     interleaved timings of scoring N lists (3, 50)
#   --threads N --dtype T --device D     as for score and train
#   --quick               a few lists, lines and steps: whether it runs, no result
#
# A step whose output is there is not made again, so that the same command goes on where it was stopped;
# --out of other options is refused. Whatever it shows is reported.
set -euo pipefail
case "${1:-}" in
  -h | --help | "") sed -n '2,24s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/bench/build.sh" secondpass
exec python3 -B "$root/bench/lookahead/trained.py" --program "$root/build/release/secondpass" "$@"
