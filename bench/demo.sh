#!/bin/bash
# demo.sh - from a bare system to a word error rate: installs, builds, scores the embedded sample with
# a teacher's PLL and with a student of one pass, reranks and reports.
#
# usage: bash bench/demo.sh [RUN_DIRECTORY]        (default: build/demo/run, made anew)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archive=$root/bench/data/dev-clean-200.jsonl.zst
model=$root/bench/data/model
student=$root/bench/data/student
pll_weight=0.3 cls_weight=0.2 # of the dev sets, bench/rescorebert.sh
program=$root/build/release/secondpass
began=$SECONDS

step() {
  printf '\n== %s\n' "$*"
}

# First the score lines, then the archive's lines: prints the first three lists whose reference is
# of a handy length, each hypothesis with both scores; * marks the best of a column.
show_lists() {
  awk '
    function field(object, name, rest) {        # the value of "name" in a flat object
      if (!match(object, "\"" name "\": *(\"([^\"\\\\]|\\\\.)*\"|[^,}]*)")) return ""
      rest = substr(object, RSTART, RLENGTH)
      sub("^\"" name "\": *", "", rest)
      gsub(/^"|"$/, "", rest)
      return rest
    }
    function split_hyps(line, objects, n) {     # the flat objects of "hyps"
      sub(/^.*"hyps": *\[/, "", line)
      n = 0
      while (match(line, /\{("([^"\\]|\\.)*"|[^"}])*\}/)) {
        objects[++n] = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
      }
      return n
    }
    FNR == NR { scored[field($0, "id")] = $0; next }
    {
      id = field($0, "id"); ref = field($0, "ref")
      if (shown == 3 || !(id in scored) || length(ref) < 30 || length(ref) > 64) next
      n = split_hyps($0, first); split_hyps(scored[id], second)
      best1 = best2 = 1
      for (k = 2; k <= n; k++) {
        if (field(first[k], "score") + 0 > field(first[best1], "score") + 0) best1 = k
        if (field(second[k], "pll") + 0 > field(second[best2], "pll") + 0) best2 = k
      }
      printf "\n%s\n  reference             %s\n", id, ref
      printf "  first pass       PLL\n"
      for (k = 1; k <= n && k <= 10; k++) {
        printf "  %9.3f%s %9.3f%s %s\n", field(first[k], "score"), k == best1 ? "*" : " ",
          field(second[k], "pll"), k == best2 ? "*" : " ", field(first[k], "text")
      }
      shown++
    }' "$@"
}

step "system packages"
bash "$root/docker/install-deps.sh" build

step "build"
cd "$root"
cmake --preset release -DBUILD_TESTING=OFF >/dev/null
cmake --build --preset release --target secondpass
built=$((SECONDS - began))

if [ $# -gt 0 ]; then
  case $1 in
    /*) run=$1 ;;
    *) run=$OLDPWD/$1 ;;
  esac
else
  run=$root/build/demo/run
  rm -rf "$run" "$run-student"
fi
mkdir -p "$(dirname "$run")"

step "plan: what scoring takes"
"$program" plan --model "$model" --method pll "$archive"

step "score"
"$program" score --model "$model" --method pll --out "$run" "$archive"

step "verify"
"$program" verify "$run"

step "three lists; scores are natural logs, * marks the best of a column"
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
"$program" cat "$run" >"$lines"
zstd -dcq "$archive" | show_lists "$lines" -

work=$(dirname "$run")
step "the student: one pass a hypothesis instead of one a token"
"$program" score --model "$student" --method cls --out "$run-student" "$archive"

step "rerank by first pass + $pll_weight PLL, and by first pass + $cls_weight of the student's score"
"$program" rescore "$archive" --scores "$run" --weight pll=$pll_weight --out "$work/best.jsonl.zst"
"$program" rescore "$archive" --scores "$run-student" --weight cls=$cls_weight \
  --out "$work/best-student.jsonl.zst"

step "word errors of both, against the first pass"
"$program" wer "$work/best.jsonl.zst" --against "$archive"
"$program" wer "$work/best-student.jsonl.zst" --against "$archive"

step "report"
"$program" report "$run" --archive "$archive" --weight pll=$pll_weight --out "$work/report.html"

printf '\nThe run directory is %s\n' "$run"
echo "Read it with: '$program' cat '$run'"
echo "          or: zstd -dc '$run'/scores-*.jsonl.zst"
echo "The report for a browser: $work/report.html"
echo "From nothing to here: $((SECONDS - began)) s, $built s of them for packages and the compiler."
