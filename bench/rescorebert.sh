#!/bin/bash
# rescorebert.sh - the RescoreBERT table: word error rates of 10-best lists rescored with a teacher's
# pseudo-log-likelihoods and with students that one pass scores.
#
# usage: bash bench/rescorebert.sh --lists DIR --text FILE [OPTION...]
#   --lists DIR           librispeech-espnet-10best.{dev-clean,dev-other,test-clean}.json.zst, or the
#                         archives of --dev FILE FILE and --test FILE
#   --text FILE           sentences, a line each; the teacher's scores of them are distilled (.zst too)
#   --teacher DIR         masked language model (the model of bench/data)
#   --student DIR|FILE    a model to begin from, or a config.json to begin anew (the teacher)
#   --student-layers L,.. layers of that model to keep (all)
#   --out DIR             everything that is made; table.md, results.json (build/rescorebert)
#   --folds K             speaker-disjoint parts of the dev sets (4)
#   --text-lines N        sentences for distillation (50000)
#   --text-args, --list-args, --mwer-args, --mwed-args 'OPTIONS'
#                         of `secondpass train` in each stage, as --text-args='--rate 3e-4 --epochs 2'
#   --beta X              weight of the student's score beside the first pass while it is fine-tuned
#                         (what is tuned after distillation)
#   --threads N --dtype T --device D      as for score and train
#   --speed-lists N --rate-lists N   lists that are timed one by one, and together (500, 100)
#   --quick               a few lists, sentences and steps: whether it runs, no result
#
# A step whose output is there is not made again, so that the same command goes on where it was stopped;
# --out of other options is refused. Nothing is evaluated on what tuned it: each fold's models and weight
# come from the other folds, and the test set is scored and counted once, with what all folds give.
set -euo pipefail
case "${1:-}" in
  -h | --help | "") sed -n '2,26s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/bench/build.sh" secondpass
exec python3 -B "$root/bench/rescorebert/table.py" --program "$root/build/release/secondpass" "$@"
