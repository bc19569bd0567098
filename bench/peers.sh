#!/bin/bash
# peers.sh - how fast secondpass is beside ONNX Runtime and PyTorch, same machine, same run.
#
# usage: bash bench/peers.sh [OPTION...]     (options of bench/peers/compare.py, as --rounds 5)
#
# Makes a virtual environment under build/ (or takes $SP_PEERS_VENV as it is), then measures
# BERT-base and the small model's shapes with random weights, at 24 tokens and over the sample's
# length mix. Prints a table; build/peers/ keeps it with every single measurement (results.json).
# Keep the machine otherwise idle: a busy neighbour halves any of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash docker/install-deps.sh test
if [ ! -x build/release/secondpass ]; then
  cmake --preset release >/dev/null
  cmake --build --preset release --target secondpass
fi
venv=${SP_PEERS_VENV:-build/peers-venv}
if [ -z "${SP_PEERS_VENV:-}" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r bench/peers/requirements.txt
fi
exec "$venv/bin/python" bench/peers/compare.py "$@"
