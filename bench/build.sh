#!/bin/bash
# build.sh - builds those programs that build/release does not have yet, with the packages that they need.
#
# usage: bash bench/build.sh TARGET...
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for target in "$@"; do
  if [ ! -x "$root/build/release/$target" ]; then
    bash "$root/docker/install-deps.sh" build
    cmake -S "$root" --preset release >/dev/null
    cmake --build "$root/build/release" --target "$@"
    exit
  fi
done
