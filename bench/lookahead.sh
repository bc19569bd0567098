#!/bin/bash
# lookahead.sh - masks side by side: word error rate, latency, node computations, time.
#
# usage: bash bench/lookahead.sh [OPTION...]
#   --model DIR           (the model of bench/data)
#   --archive FILE        scored, reranked and counted (the sample of bench/data)
#   --dev FILE            tunes the weight of the scores (the archive itself)
#   --masks MASK,..       separated by commas (full,causal,layerwise:1,layerwise:2,layerwise:5,
#                         chunked:2,chunked:5,chunked:10,dynamic)
#   --methods NAME,..     scores whose masked copies share nodes: pll, pll_l2r (pll)
#   --dynamic DIR         model of the dynamic mask (--model, where it is one; else made from it by
#                         bench/lookahead/make_model.py with random schedulers)
#   --density D --reach R of the made one: share of open cells, most positions ahead (0.1, 2)
#   --limit N             the first N utterances only
#   --rounds N            of each, taken in turns; the table has medians (3)
#   --threads N --dtype T as for score
#   --out DIR             table.md and results.json (build/lookahead)
#
# A model that was trained with another mask loses accuracy under this one: such rows are marked, and
# show the engine, not the idea. Making a dynamic model needs NumPy: python3's own, or from a virtual
# environment under build/. Keep the machine otherwise idle.
set -euo pipefail
case "${1:-}" in
  -h | --help) sed -n '2,22s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

bash "$root/bench/build.sh" secondpass
python=python3
if ! python3 -c 'import numpy' 2>/dev/null; then
  python=$root/build/lookahead-venv/bin/python
  if [ ! -x "$python" ]; then
    python3 -m venv "$root/build/lookahead-venv"
    "$python" -m pip install -q -r "$root/bench/lookahead/requirements.txt"
  fi
fi
exec "$python" -B "$root/bench/lookahead/table.py" --program "$root/build/release/secondpass" "$@"
