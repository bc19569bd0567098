#!/bin/bash
# run.sh - installs what is missing, builds, and passes every test.
#
# usage: bash tests/run.sh [--long]
#   (none)   the release build and all quick tests; at most 25 minutes on 2 cores from nothing
#   --long   also the long tests (chaos, memory), sanitizers, fuzzing, live oracles; at most 75
#
# SP_FUZZ_SECONDS=N   how long each fuzzer runs in --long (10)
# SP_FUZZ_SEED=N      its first random number (1: one tree meets the same inputs again; 0: any)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

jobs=$(nproc)
passed=0
current=start
began=0

stage() {
  finish_stage
  current=$1
  began=$SECONDS
  printf '\n== %s\n' "$current"
}

finish_stage() {
  if [ "$current" != start ]; then
    echo "== $current: done in $((SECONDS - began)) s"
  fi
}

on_exit() {
  local status=$?
  if [ "$status" -ne 0 ]; then
    printf '\nFAILED: %s (exit %s, after %s s)\n' "$current" "$status" $((SECONDS - began)) >&2
  fi
}
trap on_exit EXIT

# The sanitizers of older compilers want a fixed address layout; some containers do not allow it.
steady=()
if setarch -R true 2>/dev/null; then
  steady=(setarch -R)
fi

# build PRESET [CMAKE_OPTION...]
build() {
  local preset=$1
  shift
  cmake --preset "$preset" -DBUILD_TESTING=ON "$@" >"build/$preset.configure.log" 2>&1 ||
    { cat "build/$preset.configure.log"; return 1; }
  cmake --build --preset "$preset" -- -j "$jobs"
}

# run_tests PRESET CTEST_OPTION...: adds the number of tests to `passed`.
run_tests() {
  local preset=$1 log=build/$1.ctest.log count
  shift
  "${steady[@]}" ctest --test-dir "build/$preset" -j "$jobs" --output-on-failure --no-tests=error \
    "$@" 2>&1 | tee "$log"
  count=$(sed -n 's/^100% tests passed, 0 tests failed out of \([0-9]*\).*/\1/p' "$log")
  passed=$((passed + count))
}

# fuzz_one TARGET: its corpus first, then new inputs for a while; what it finds stays under build/.
fuzz_one() {
  local target=$1 subject=${1%_fuzz} dictionary=()
  mkdir -p "build/fuzz/found/$subject"
  if [ -e "tests/fuzz/$subject.dict" ]; then
    dictionary=("-dict=tests/fuzz/$subject.dict")
  fi
  if ! "build/fuzz/bin/$target" -max_total_time="${SP_FUZZ_SECONDS:-10}" -timeout=20 \
    -seed="${SP_FUZZ_SEED:-1}" -rss_limit_mb=3072 \
    -artifact_prefix="build/fuzz/found/$subject-" "${dictionary[@]}" \
    "build/fuzz/found/$subject" "tests/fuzz/corpus/$subject" >"build/fuzz/$subject.log" 2>&1; then
    tail -n 60 "build/fuzz/$subject.log"
    echo "fuzz: $target failed"
    return 255
  fi
  echo "fuzz: $target: $(grep '^Done ' "build/fuzz/$subject.log")"
}
export -f fuzz_one

fuzz_all() {
  local targets
  targets=$(cd tests/fuzz && printf '%s\n' *_fuzz.c | sed 's/\.c$//')
  cmake --preset fuzz -DBUILD_TESTING=ON >build/fuzz.configure.log 2>&1 ||
    { cat build/fuzz.configure.log; return 1; }
  # shellcheck disable=SC2086 # one word a target
  cmake --build --preset fuzz --target $targets -- -j "$jobs"
  "${steady[@]}" xargs -P "$jobs" -I{} bash -c 'fuzz_one {}' <<<"$targets"
}

# The program's tokens against Hugging Face's, live; the goldens against the NumPy oracle, anew; models
# made with a lookahead against both.
check_oracles() {
  local venv=build/oracle-venv
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r tests/oracle/requirements.txt
  "$venv/bin/python" tests/golden/tokens/check_tokens.py --tool build/release/bin/encode_tool
  "$venv/bin/python" tests/golden/tokens/check_vocab.py --program build/release/secondpass --tool build/release/bin/encode_tool
  "$venv/bin/python" tests/golden/check_goldens.py
  "$venv/bin/python" tests/oracle/written_model.py --bin build/release/bin
  "$venv/bin/python" bench/lookahead/selftest.py --program build/release/secondpass
}

long=false
case "${1:-}" in
  "") ;;
  --long) long=true ;;
  *) sed -n '2,9s/^# \{0,1\}//p' tests/run.sh >&2; exit 2 ;;
esac

stage "system packages"
bash docker/install-deps.sh test
mkdir -p build

stage "release: build"
if $long; then
  build release -DSP_WERROR=ON
else
  build release
fi

stage "release: quick tests"
run_tests release -LE 'long|gpu'

if $long; then
  stage "release: long tests"
  run_tests release -L long

  stage "live oracles"
  check_oracles

  stage "address and undefined behaviour sanitizers: build"
  build asan

  stage "address and undefined behaviour sanitizers: tests"
  export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
  export UBSAN_OPTIONS=print_stacktrace=1
  # Kills are of processes; that bits do not depend on the batch, threads or savings is told by release
  # builds, and minutes a kernel set or type here, where one of each goes every way; so do goldens. Of
  # CUDA calls that fail every fourth does here; of emulated kernels the larger cases in one type.
  run_tests asan -LE 'long|gpu' -E '^bench|LargeRun|AGpuLost|^simt.*(NamedRows|ItsOwn|DoNotDepend|(RandomMasks|SoftMasks|WordsAreTheCpus|ManyLengths|Vocabularies)/f32)|EveryCodePoint|chaos.(workers|kill|two|identity|train_kill|train_two)|avx2_products|TortureTest.*/[1-3]|GoldenScores.*/cpu_(built|avx|base)|LinearTest.(RowsDoNotDependOnTheBatch|OpenMpThreadsChangeNothing)/(built_in|avx512|avx2|baseline)_|^Types/(Determinism.*/bf16|UnderMasks)|^Models/Nodes.*bf16'

  stage "thread sanitizer: build"
  build tsan

  stage "thread sanitizer: tests"
  export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
  # What has no threads is left out (so are whole folders: tests/CMakeLists.txt), and what differs in
  # size alone. Who shares what depends on neither kernel set nor type.
  run_tests tsan -LE 'long|chaos|gpu' -E '^bench|^fuzz|Golden|Reframe|LargeRun|CompareSample|^Mask|PlanDescribed|JsonTest|Resume.*/bf16|Places[.]|^Device/.*/(built_in|avx512|avx2|baseline)_|LinearTest|avx2_products|^Types/(Determinism.*/bf16|UnderMasks)|Determinism.(WithoutAnySavings|TheSampleArchive)|ScoreTest|AnArchiveOfManyUnits'

  stage "fuzzing"
  fuzz_all
fi

finish_stage
printf '\nAll stages passed in %s s.\n' "$SECONDS"
echo "100% tests passed, 0 tests failed out of $passed"
