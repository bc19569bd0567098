#!/bin/bash
# install-deps.sh - the one list of system packages: Debian 12 and 13, Ubuntu 24.04.
#
# usage: bash docker/install-deps.sh build|test
#   build   what the program needs; test   that and what its tests need.
#
# Quick when everything is there: apt is called only when a package is missing. As root it needs no
# sudo. A package of the optional list that the system does not have is left out, with a note.
set -euo pipefail

build_packages="gcc g++ cmake ninja-build pkg-config ca-certificates zstd
  libzstd-dev zlib1g-dev libjansson-dev libxxhash-dev libsimdjson-dev"
build_optional="libdnnl-dev libopenmpi-dev"
test_packages="libgtest-dev libbenchmark-dev clang groff-base python3 python3-venv python3-zstandard"
test_optional="openmpi-bin sctk zsh fish python3-numpy python3-yaml
  munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins"

usage() {
  echo "usage: bash docker/install-deps.sh build|test" >&2
  exit 2
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "install-deps: not root and no sudo. Ask for these packages: $missing" >&2
    exit 1
  fi
}

# Names of the arguments that are not installed, one a line.
not_installed() {
  local package
  for package in "$@"; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
      installed) ;;
      *) echo "$package" ;;
    esac
  done
}

# clang's sanitizer and fuzzer runtimes are a package of their own, named after the version that the
# package `clang` stands for. Reads the installed package first, then what apt knows.
clang_runtime() {
  local depends version
  depends=$(dpkg-query -W -f '${Depends}' clang 2>/dev/null || true)
  if [ -z "$depends" ]; then
    depends=$(apt-cache show clang 2>/dev/null | sed -n 's/^Depends: //p' || true)
  fi
  version=$(sed -n 's/.*clang-\([0-9][0-9]*\).*/\1/p' <<<"$depends" | sed -n 1p)
  if [ "${version:-0}" -ge 14 ]; then
    echo "libclang-rt-$version-dev"
  fi
}

update_lists() {
  as_root apt-get update -qq || { sleep 5; as_root apt-get update -qq; } ||
    echo "install-deps: apt-get update failed; trying with the lists at hand" >&2
}

known_to_apt() {
  [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p')" ]
}

case "${1:-}" in
  build) required=$build_packages ;;
  test) required="$build_packages $test_packages" ;;
  *) usage ;;
esac
[ $# -eq 1 ] || usage

for tool in dpkg-query apt-get apt-cache; do
  if ! command -v "$tool" >/dev/null; then
    echo "install-deps: no $tool here. Install what your system calls these Debian packages:" >&2
    echo "  $required $build_optional" | tr -s ' \n' ' ' >&2
    echo >&2
    exit 1
  fi
done

optional=$build_optional
if [ "$1" = test ]; then
  optional="$optional $test_optional $(clang_runtime)"
fi
# shellcheck disable=SC2086 # the lists are split into words on purpose
missing=$(not_installed $required $optional | tr '\n' ' ')
if [ -z "$missing" ]; then
  exit 0
fi

update_lists
if [ "$1" = test ]; then
  optional="$build_optional $test_optional $(clang_runtime)"
fi
# shellcheck disable=SC2086
missing=$(not_installed $required | tr '\n' ' ')
# shellcheck disable=SC2086
for package in $(not_installed $optional); do
  if known_to_apt "$package"; then
    missing="$missing $package"
  else
    echo "install-deps: this system has no $package; going on without it" >&2
  fi
done
if [ -n "${missing// /}" ]; then
  echo "install-deps: installing $missing"
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 $missing </dev/null >/dev/null
fi
