#!/bin/bash
# run.sh - the tests of a GPU, on a machine to which the built programs were carried.
#
# usage: bash tests/gpu/run.sh [--tests | --sanitizers] [BUILD_DIR]
#   BUILD_DIR      holds bin/gpu_*_test (build/portable or else build/release)
#   --tests        ops, training ops, golden scores and repeatability alone
#   --sanitizers   compute-sanitizer's four tools over the op tests alone
# Exit code 5: no usable GPU, or with --sanitizers no compute-sanitizer. 1: something failed.
set -euo pipefail

what=all
case "${1:-}" in
  --tests | --sanitizers) what=${1#--}; shift ;;
  -*) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build/portable
[ -d "$build/bin" ] || build=$root/build/release
bin=${1:-$build}/bin
export SP_SOURCE_DIR=$root
failed=0

if ! nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
  echo "run.sh: no GPU here" >&2
  exit 5
fi
if [ ! -x "$bin/gpu_ops_test" ]; then
  echo "run.sh: $bin/gpu_ops_test is not there: build with the CUDA toolkit" >&2
  exit 2
fi

# Where the toolkit is not, its libraries may have come with PyTorch.
if ldd "$bin/gpu_ops_test" | grep -q 'not found'; then
  carried=$(python3 -c 'import glob, nvidia, os
print(":".join(sorted({os.path.dirname(f) for place in nvidia.__path__
                       for f in glob.glob(place + "/**/lib*.so.*", recursive=True)})))' 2>/dev/null || true)
  export LD_LIBRARY_PATH=${carried:+$carried:}${LD_LIBRARY_PATH:-}
fi

if [ "$what" != sanitizers ]; then
  for program in gpu_ops_test gpu_train_ops_test gpu_scores_test gpu_engine_test; do
    echo "== $program"
    "$bin/$program" --gtest_brief=1 --gtest_filter=-Registry.* || failed=1
  done
fi

if [ "$what" != tests ]; then
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1 || true)
  if [ -z "$sanitizer" ]; then
    echo "run.sh: no compute-sanitizer on PATH or in /usr/local/cuda" >&2
    [ "$what" = all ] || exit 5
    failed=1
  else
    for tool in memcheck racecheck initcheck synccheck; do
      echo "== compute-sanitizer $tool"
      for program in gpu_ops_test gpu_train_ops_test; do
        "$sanitizer" --tool "$tool" --error-exitcode 1 "$bin/$program" --gtest_brief=1 \
          --gtest_filter=-Registry.* || failed=1
      done
    done
  fi
fi
exit "$failed"
