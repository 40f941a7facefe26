#!/bin/bash
# npm run test:kernels [-- [OPTION…] [VERSION…]]: the core of the tests on other kernels, Debian's own, each booted under
# qemu-system-x86_64 without KVM, on a host like those that people have: / shared, control groups version 2.
# VERSION: the beginning of a kernel's version (6.1, 6.12, 7); default: 6.1 6.12 6.16 6.18 7.
#   --cgroup v2|v1|hybrid   --apparmor   --systemd   --cpu MODEL   --smp N   --memory MIB
#   --append WORDS          more words for the kernel's command line
#   --private               / is private, as on a host without systemd
#   --arm64                 Debian's kernel and programs for arm64, which qemu-system-aarch64 boots: with --script or --shell
#   --only FEATURE          features of scripts/kernels/core-tests.json whose name contains this (again: or that)
#   --script FILE           a script in place of the tests, as scripts/kernels/look.sh: what it prints, and its status
#   --shell                 a shell on the guest's console in place of the tests
#   --update                newest packages of the kernels asked for
# VENEER_KERNELS (default /var/tmp/veneer-kernels, about 6 GB) keeps guest, kernels and images for the next run.
# Ends with a table, kernel by feature; status 1 on any fault.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PROJECT=$PWD STATE=${VENEER_KERNELS:-/var/tmp/veneer-kernels}
export ARCH=amd64 PROPAGATION=shared APPEND=
export CGROUP=v2 APPARMOR= SYSTEMD= GUEST_CPU=max GUEST_SMP=${VENEER_KERNELS_SMP:-2} GUEST_MEMORY=2560 SHELL_ONLY= UPDATE= SCRIPT=
only=() versions=()
while [ $# -gt 0 ]; do
  case $1 in
    --cgroup) CGROUP=$2; shift ;;
    --apparmor) APPARMOR=1 ;;
    --systemd) SYSTEMD=1 ;;
    --append) APPEND=$2; shift ;;
    --private) PROPAGATION=private ;;
    --arm64) ARCH=arm64 ;;
    --cpu) GUEST_CPU=$2; shift ;;
    --smp) GUEST_SMP=$2; shift ;;
    --memory) GUEST_MEMORY=$2; shift ;;
    --only) only+=("$2"); shift ;;
    --script) SCRIPT=$(realpath "$2"); shift ;;
    --shell) SHELL_ONLY=1 ;;
    --update) UPDATE=1 ;;
    -*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    *) versions+=("$1") ;;
  esac
  shift
done
[ ${#versions[@]} -gt 0 ] || versions=(6.1 6.12 6.16 6.18 7)
[ "$(id -u)" -eq 0 ] || { echo "test:kernels: run as root: it makes a guest's root file system" >&2; exit 1; }
if [ "$ARCH" = arm64 ] && [ -z "$SHELL_ONLY$SCRIPT" ]; then
  echo "test:kernels: --arm64 is for --script and --shell: vitest's programs are for this machine" >&2
  exit 2
fi
if [ "$PROPAGATION" = private ] && [ -n "$SYSTEMD" ]; then
  echo "test:kernels: --private is for a guest without systemd, which makes / shared" >&2
  exit 2
fi

bash scripts/ensure-built.sh
if [ "$ARCH" = arm64 ] && ! [ dist/arm64/veneer -nt dist/veneer ]; then bash packaging/package.sh --no-build arm64 >&2; fi
mkdir -p "$STATE/results"
exec 8>"$STATE/lock"
flock -n 8 || { echo "test:kernels: another run uses $STATE; wait for it, or set VENEER_KERNELS" >&2; exit 1; }
bash scripts/kernels/guest.sh "${versions[@]}"

status=0 results=()
for version in "${versions[@]}"; do
  kernel=$(bash scripts/kernels/find.sh "$version")
  variant=$CGROUP${APPARMOR:+-apparmor}${SYSTEMD:+-systemd}
  [ "$PROPAGATION" = shared ] || variant+=-$PROPAGATION
  [ "$GUEST_CPU" = max ] || variant+=-$GUEST_CPU
  result=$STATE/results/$(basename "$kernel")-$variant.json
  rm -f "$result"
  node scripts/kernels/core-tests.mjs select "$(basename "$kernel")" "${only[@]}" >"$STATE/selection"
  bash scripts/kernels/boot.sh "$kernel" "$result" || status=1
  results+=("$result")
done
[ -z "$SHELL_ONLY$SCRIPT" ] || exit "$status"
node scripts/kernels/core-tests.mjs table "${results[@]}" || status=1
exit "$status"
