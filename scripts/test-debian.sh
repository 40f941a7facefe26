#!/bin/bash
# npm run test:trixie, npm run test:unstable: end-to-end tests with the engines of Debian 13 and of Debian unstable,
# on this kernel. `test-debian.sh SUITE` makes that Debian in a directory of its own once ($VENEER_SUITES/SUITE,
# default /var/tmp/veneer-SUITE: about 1.5 GB, a few minutes), from the mirror that this machine's apt uses or
# VENEER_MIRROR, and runs the program of dist/ and the test files in it. Further arguments go to vitest, in place of
# all files that apply:
#   npm run test:trixie -- test/e2e/docker.test.ts
#   npm run test:unstable -- --shell            a shell in it, to look around
#
# It runs in a mount and a process namespace of its own: when this script ends, killed or not, so do all daemons
# and containers of the tests, and every mount goes with them.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
suite=${1:?usage: test-debian.sh SUITE [ARGUMENTS OF VITEST]}
shift
root=${VENEER_SUITES:+$VENEER_SUITES/$suite}
root=${root:-/var/tmp/veneer-$suite}

fail() {
  echo "test:$suite: $1" >&2
  exit 1
}

# The first mirror of Debian in apt's sources, of whatever suite; without lists of apt, nothing.
mirror_of_apt() {
  local uris
  uris=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian')
  echo "${uris%%$'\n'*}"
}

# Second part: pid 1 of the new namespaces. Goes into the root as a machine would, by pivot_root.
if [ "${1-}" = --inside ]; then
  shift
  node=$1 modules=$2
  shift 2
  # what a killed run has left; before anything of this machine is bound there
  find "$root/tmp" "$root/var/tmp" -xdev -mindepth 1 -delete
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mkdir -p "$root/veneer" "$root$modules" "$root/old"
  touch "$root/usr/local/bin/node"
  mount --bind "$project" "$root/veneer"
  mount -o remount,bind,ro "$root/veneer"
  mount --bind "$modules" "$root$modules"
  mount -o remount,bind,ro "$root$modules"
  mount --bind "$node" "$root/usr/local/bin/node"
  cd "$root"
  pivot_root . old
  umount -l /old
  hash -r
  cd /veneer
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp
  export VENEER_TEST_NAMESPACE=private VENEER_TEST_SKIP=
  if [ "${1-}" = --install ]; then
    bash scripts/install-test-deps.sh
    exit
  fi
  if [ "${1-}" = --shell ]; then
    shift
    bash "$@"
    exit
  fi
  # the report and the versions that it is of stay for npm run test:matrix
  mkdir -p /var/lib/veneer-results
  bash scripts/engine-versions.sh | tee /var/lib/veneer-results/versions
  node node_modules/vitest/vitest.mjs run --configLoader runner --no-cache --reporter=default --reporter=json \
    --outputFile.json=/var/lib/veneer-results/results.json "$@" &
  tests=$!
  trap 'kill "$tests"' TERM INT
  wait "$tests"
  exit
fi

[ "$(id -u)" -eq 0 ] || fail "not run as root; hint: it mounts and starts containers"
inside=(
  unshare --mount --propagation private --pid --fork --kill-child
  bash scripts/test-debian.sh "$suite" --inside "$(readlink -f "$(command -v node)")" "$(readlink -f node_modules)"
)

# one run at a time: they share the directory
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock -n 9 || fail "another run uses $root; hint: wait for its end, or set VENEER_SUITES to another directory"

bash scripts/ensure-built.sh
list=$(sha256sum <scripts/install-test-deps.sh)
if [ ! -e "$root/.made" ]; then
  command -v debootstrap >/dev/null || bash scripts/install-test-deps.sh
  rm -rf --one-file-system "$root"
  mirror=${VENEER_MIRROR:-$(mirror_of_apt)}
  [ -n "$mirror" ] || fail "apt knows no mirror of Debian; hint: VENEER_MIRROR=URL"
  echo "test:$suite: making $root from $mirror" >&2
  debootstrap --variant=minbase --include=ca-certificates,libstdc++6,util-linux,procps "$suite" "$root" "$mirror" >"$root.log" ||
    fail "debootstrap failed: $(tail -n 1 "$root.log")"
  # nothing is started by being installed
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  # a mirror that stands still, such as a snapshot, has lists that have expired
  echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90snapshot"
  touch "$root/.made"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
if [ "$(cat "$root/.made")" != "$list" ]; then
  "${inside[@]}" --install
  echo "$list" >"$root/.made"
fi

if [ $# -eq 0 ]; then
  for name in runtime runtime-transparent runtime-differential checkpoint hook-oci hook-oci-held run bundle podman \
    podman-pods docker cdi containerd containerd-cri nri kubernetes lxc lxc-refusals lxc-instances lxc-setup lxc-adopt \
    lxc-hookless lxd userns run-userns podman-userns engines-userns lxc-userns rootless podman-rootless \
    lxc-rootless base-share live-rebase live-engines live-userns edit-running; do
    set -- "$@" "test/e2e/$name.test.ts"
  done
  set -- "$@" test/root/precreate.test.ts
fi
exec "${inside[@]}" "$@"
