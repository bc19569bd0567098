#!/bin/bash
# wer.sh - how fast secondpass counts word errors beside jiwer and sclite, same data, same run.
#
# usage: bash bench/wer.sh [ARCHIVE]     (the sample of bench/data; own JSONL or mlm JSON, .zst)
#
# Makes a virtual environment under build/ (or takes $SP_WER_VENV as it is). Each is timed over the
# same pairs of reference and hypothesis: ours and jiwer in memory, sclite as it is used, from files.
# Keep the machine otherwise idle.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash docker/install-deps.sh test
if [ ! -x build/release/secondpass ]; then
  cmake --preset release >/dev/null
  cmake --build --preset release --target secondpass
fi
venv=${SP_WER_VENV:-build/wer-venv}
if [ -z "${SP_WER_VENV:-}" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r bench/peers/wer-requirements.txt
fi
exec "$venv/bin/python" bench/peers/wer.py --program build/release/secondpass \
  "${1:-bench/data/dev-clean-200.jsonl.zst}"
