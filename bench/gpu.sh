#!/bin/bash
# gpu.sh - how fast secondpass is on this machine's first GPU, beside two PyTorch programs.
#
# usage: bash bench/gpu.sh [OUT] [OPTION...]
#   OUT                 results.json and table.md; what is there already stays and is added to
#                       (build/gpu)
#   --only SHAPE,..     base, teacher, 4x512, 4x312 (all)
#   --work KIND,..      24: fixed 24 tokens; mix: lengths of real lists (both)
#   --measure WHAT,..   kernel: tokens in memory to scores in memory; e2e: file to shards; idle;
#                       masks: their cost; products: what one algorithm for all batches costs (all)
#   --repeats N --seconds S --idle-seconds S      5 of 20 s each; watched for idleness for 60 s
#   --quick             3 repeats of 2 s, watched for 10 s
#   --peers-only        without secondpass;   --ours-only: peers only for the parity gate
#   --no-compile        without torch.compile; --compile-seconds S: longest wait for one (180)
#   --trim              also B1 with secondpass's last-layer trim
#
# Needs Python with PyTorch and transformers, and a program: $SP_PROGRAM, or build/portable/
# secondpass, or build/release/secondpass; no network, and nothing is installed. $SP_PYTHON names
# another Python, $SP_COMMIT the commit where the tree is no repository.
# Exit code 5: no usable GPU here. 1: an engine failed the parity gate, the rest is measured.
set -euo pipefail
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=true HF_HUB_OFFLINE=1
case "${1:-}" in
  -h | --help) sed -n '2,21s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
python=${SP_PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
  echo "gpu.sh: no $python here, so there is no PyTorch to measure with" >&2
  exit 5
fi
exec "$python" "$(dirname "${BASH_SOURCE[0]}")/gpu/measure.py" "$@"
