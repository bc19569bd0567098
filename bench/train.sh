#!/bin/bash
# train.sh - how fast secondpass trains beside PyTorch, and whether it learns as much.
#
# usage: bash bench/train.sh [OPTION...]          tokens a second of mlm training, interleaved rounds
#        bash bench/train.sh parity [OPTION...]   held-out loss after equal tokens, each with its own masks
# Options of either: --help after it. Some of the first:
#   --text FILE           sentences, a line each, .zst too (the sample of bench/data, which is short)
#   --shapes NAME..       4x256, 8x384 (both)
#   --rounds N --steps N --threads N
#   --peers-only          without secondpass
# And of the second: --text FILE (needed), --steps N, --step-tokens N, --dtype bf16|f32, --shape NAME
#
# Makes a virtual environment under build/ (or takes the Python that $SP_TRAIN_PYTHON names, which needs
# bench/train/requirements.txt), and leaves table.md and results.json in build/train/, or --work DIR.
# Keep the machine otherwise idle: a busy neighbour halves any of them.
set -euo pipefail
case "${1:-}" in
  -h | --help) sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=compare.py
if [ "${1:-}" = parity ]; then
  script=loss_parity.py
  shift
fi

if [[ " $* " != *" --peers-only "* ]]; then
  bash "$root/bench/build.sh" secondpass
fi
python=${SP_TRAIN_PYTHON:-$root/build/train-venv/bin/python}
if [ -z "${SP_TRAIN_PYTHON:-}" ] && [ ! -x "$python" ]; then
  python3 -m venv "$root/build/train-venv"
  "$python" -m pip install -q -r "$root/bench/train/requirements.txt"
fi
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=true HF_HUB_OFFLINE=1
exec "$python" -B "$root/bench/train/$script" "$@"
