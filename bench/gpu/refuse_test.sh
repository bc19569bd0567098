#!/bin/bash
# refuse_test.sh - without a usable GPU gpu.sh says so in one line and exits 5.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
said=$(CUDA_VISIBLE_DEVICES='' bash "$root/bench/gpu.sh" 2>&1)
status=$?
if [ "$status" -ne 5 ] || [ "$(wc -l <<<"$said")" -ne 1 ] || [[ $said != gpu.sh:* ]]; then
  printf 'exit %s, not 5, or not one line:\n%s\n' "$status" "$said" >&2
  exit 1
fi
