#!/bin/sh
# resources.sh - what kernels use of the machine, as the assembler (ptxas -v) tells it.
#
# usage: resources.sh record COMPILER ARGUMENT...
#          runs the compiler, keeps the assembler's report as OBJECT.ptxas, prints a line a kernel
#        resources.sh check DIRECTORY NAME...
#          fails when a kernel of NAME.cu spills registers, or when there is no report of it
set -u

# Names as in the source, where there is a tool for it.
readable() {
  if command -v c++filt >/dev/null; then c++filt; else cat; fi
}

# A line a kernel: architecture, registers, shared memory, stack, spills (bytes), name.
table() {
  awk '
    function flush() {
      if (name != "")
        printf "%-7s %4d registers %7d shared %6d stack %6d spilled  %s\n", arch, registers,
               shared, stack, spilled, name
      name = ""
    }
    /Compiling entry function/ {
      flush()
      split($0, quoted, "\047")
      name = quoted[2]; arch = quoted[4]
      registers = shared = stack = spilled = 0
    }
    /bytes stack frame/ {
      for (i = 1; i < NF; i++) {
        if ($(i + 2) == "stack") stack = $i
        if ($(i + 2) == "spill") spilled += $i
      }
    }
    /Used [0-9]+ registers/ {
      for (i = 1; i < NF; i++) {
        if ($(i + 1) ~ /^registers/) registers = $i
        if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
      }
    }
    END { flush() }' "$1" | readable
}

record() {
  object=
  previous=
  for argument in "$@"; do
    [ "$previous" = -o ] && object=$argument
    previous=$argument
  done
  if [ -z "$object" ]; then
    exec "$@"
  fi
  "$@" 2>"$object.log"
  status=$?
  grep -E '^ptxas info|bytes stack frame' "$object.log" >"$object.ptxas"
  grep -vE '^ptxas info|bytes stack frame' "$object.log" >&2
  rm -f "$object.log"
  [ "$status" -eq 0 ] && table "$object.ptxas"
  return "$status"
}

check() {
  directory=$1
  shift
  bad=0
  for name in "$@"; do
    report=$directory/$name.cu.o.ptxas
    if [ ! -s "$report" ] || [ -z "$(table "$report")" ]; then
      echo "resources: $name.cu: no report of the assembler ($report)" >&2
      bad=1
      continue
    fi
    table "$report"
    spilling=$(table "$report" | awk '$8 > 0')
    if [ -n "$spilling" ]; then
      printf 'resources: %s.cu: these kernels spill registers:\n%s\n' "$name" "$spilling" >&2
      bad=1
    fi
  done
  return "$bad"
}

case "${1:-}" in
  record) shift; record "$@" ;;
  check) shift; check "$@" ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
