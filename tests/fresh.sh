#!/bin/bash
# fresh.sh - proves the README's two commands on minimal systems, made here with debootstrap.
#
# usage (as root): bash tests/fresh.sh [--only demo|tests] [SUITE...]
#   SUITE   trixie, bookworm (the default is both); noble where an Ubuntu mirror can be reached
#
# Each command gets a system of its own: no compiler, git or sudo, an empty environment, and a copy
# of HEAD. The bare systems are kept as tarballs in $SP_FRESH_CACHE (/tmp/fresh-cache); remove
# it to start from the mirror again. $SP_FRESH_MIRROR names another Debian mirror.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${SP_FRESH_CACHE:-/tmp/fresh-cache}
clean_path=/usr/sbin:/usr/bin:/sbin:/bin

fail() {
  echo "fresh: $*" >&2
  exit 1
}

# The first address among the host's own apt sources that matches a pattern, else the default.
host_mirror() {
  local found
  found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    grep -v '^ *#' | grep -oE "https?://[^ ]*$1/?( |\$)" | sed -n '1s/[ /]*$//p' || true)
  echo "${found:-$2}"
}

debian_mirror=${SP_FRESH_MIRROR:-$(host_mirror /debian http://deb.debian.org/debian)}
security_mirror=$(host_mirror /debian-security http://deb.debian.org/debian-security)
ubuntu_mirror=$(host_mirror /ubuntu http://archive.ubuntu.com/ubuntu)

write_sources() {
  local suite=$1 file=$2
  if [ "$suite" = noble ]; then
    printf 'deb %s %s main universe\n' "$ubuntu_mirror" noble "$ubuntu_mirror" noble-updates \
      "$ubuntu_mirror" noble-security >"$file"
  else
    printf 'deb %s %s main\n' "$debian_mirror" "$suite" "$debian_mirror" "$suite-updates" \
      "$security_mirror" "$suite-security" >"$file"
  fi
}

bootstrap() {
  local suite=$1 target=$2
  if [ "$suite" = noble ]; then
    local keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
    [ -e "$keyring" ] || fail "noble needs the package ubuntu-archive-keyring"
    debootstrap --variant=minbase --keyring="$keyring" noble "$target" "$ubuntu_mirror" gutsy
  else
    debootstrap --variant=minbase "$suite" "$target" "$debian_mirror"
  fi
}

# A tarball of the bare system in the cache, with the host's way to the network.
make_base() {
  local suite=$1 tarball=$2 target=$scratch/base-$1 began=$SECONDS
  bootstrap "$suite" "$target" >"$scratch/debootstrap.log" 2>&1 ||
    { tail -n 5 "$scratch/debootstrap.log" >&2; fail "debootstrap of $suite failed"; }
  write_sources "$suite" "$target/etc/apt/sources.list"
  apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) ' \
    >"$target/etc/apt/apt.conf.d/90host" || true
  chroot "$target" apt-get clean
  mkdir -p "$cache"
  tar -C "$target" -czf "$tarball.part" .
  mv "$tarball.part" "$tarball"
  rm -rf --one-file-system "$target"
  echo "fresh: $suite bootstrapped in $((SECONDS - began)) s"
}

# Runs in a mount namespace of its own: what it mounts is gone when it ends.
inside() {
  local system=$1 command=$2
  mount -t proc proc "$system/proc"
  mount -t sysfs -o ro sysfs "$system/sys" 2>/dev/null || true
  mkdir -p "$system/dev/shm"
  mount -t tmpfs tmpfs "$system/dev/shm"
  mkdir -p "$system/dev/pts"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$system/dev/pts"
  ln -sf pts/ptmx "$system/dev/ptmx"
  env -i HOME=/root PATH="$clean_path" chroot "$system" /bin/bash -c "$command"
}

# run_fresh SUITE LABEL COMMAND: COMMAND in a new copy of the system, in a copy of HEAD.
run_fresh() {
  local suite=$1 label=$2 command=$3 system began=$SECONDS
  local tarball=$cache/$suite-minbase.tar.gz log=$scratch/$suite-$label.log
  [ -e "$tarball" ] || make_base "$suite" "$tarball"
  system=$scratch/$suite-$label
  mkdir "$system"
  tar -C "$system" -xzf "$tarball"
  cp /etc/resolv.conf "$system/etc/resolv.conf"
  mkdir "$system/srv/secondpass"
  git -C "$root" archive HEAD | tar -C "$system/srv/secondpass" -x
  began=$SECONDS
  echo "== $suite: $label"
  if ! unshare --mount --propagation private bash "$root/tests/fresh.sh" --inside "$system" \
    "cd /srv/secondpass && $command" </dev/null 2>&1 | tee "$log"; then
    cp "$log" "$cache/"
    fail "$suite $label failed after $((SECONDS - began)) s; log: $cache/${log##*/}"
  fi
  results="$results$suite $label: passed in $((SECONDS - began)) s"$'\n'
  rm -rf --one-file-system "$system"
}

if [ "${1:-}" = --inside ]; then
  inside "$2" "$3"
  exit
fi

[ "$(id -u)" -eq 0 ] || fail "debootstrap and chroot need root"
for tool in debootstrap unshare chroot git; do
  command -v "$tool" >/dev/null || fail "$tool is missing"
done
only="demo tests"
if [ "${1:-}" = --only ]; then
  only=${2:?usage: bash tests/fresh.sh [--only demo|tests] [SUITE...]}
  shift 2
fi
[ $# -gt 0 ] || set -- trixie bookworm
if [ -n "$(git -C "$root" status --porcelain --untracked-files=no)" ]; then
  echo "fresh: note: changes that are not committed are left out" >&2
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/fresh.XXXXXX")
trap 'rm -rf --one-file-system "$scratch"' EXIT
results=
for suite in "$@"; do
  for command in $only; do
    case $command in
      demo) run_fresh "$suite" demo "bash bench/demo.sh" ;;
      tests) run_fresh "$suite" tests "bash tests/run.sh" ;;
      *) fail "no command $command" ;;
    esac
  done
done
printf '\n%s' "$results"
