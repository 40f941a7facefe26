#!/bin/bash
# npm run test:suites: the runtimes' own tests, three times: against the real runtime, through the wrapping one, and through it
# with a base of the same files for each container. The verdicts are compared test by test; what is not the same and not
# in expected.tsv is a failure.
#
#   npm run test:suites                      runc and crun
#   npm run test:suites -- runc mounts tty   files of one
#   npm run test:suites -- podman            podman's system tests, with and without the wrapping runtime (half an hour)
#
# The tests are those of Debian's source packages of the versions that are installed, from the mirror that this machine's apt
# uses; they are kept in build/suites, or in VENEER_SUITES. Root. Each file runs in a mount and a process namespace of its own, so that
# nothing remains of it; each is killed after VENEER_SUITE_LIMIT seconds (default 600).
set -euo pipefail
cd "$(dirname "$0")/../.."
project=$PWD
here=$project/scripts/suites
work=${VENEER_SUITES:-$project/build}/suites
limit=${VENEER_SUITE_LIMIT:-600}

fail() {
  echo "test:suites: $1" >&2
  exit 1
}

# Unpacks the source of a package in the version that is installed into $work/NAME-VERSION and prints that path.
source_of() {
  local name=$1 version target
  version=$(dpkg-query -W -f '${source:Version}' "$name") || fail "$name is not installed"
  target=$work/$name-${version//[:~+]/_}
  if [ ! -e "$target" ]; then
    rm -rf "$work/fetch"
    mkdir -p "$work/fetch"
    source scripts/apt-elsewhere.sh
    # shellcheck disable=SC1091
    apt_elsewhere "$work/fetch/apt" deb-src "$(. /etc/os-release && echo "$VERSION_CODENAME")"
    (cd "$work/fetch" && apt-get "${apt_options[@]}" source --download-only "$name=$version" >apt.log 2>&1) ||
      fail "apt-get source $name=$version: $(tail -n 1 "$work/fetch/apt.log")"
    mkdir "$work/fetch/source"
    tar -xf "$work/fetch/"*.orig.tar.[gx]z -C "$work/fetch/source" --strip-components=1
    mv "$work/fetch/source" "$target"
  fi
  echo "$target"
}

# The root file system that runc's tests unpack: all of busybox, as in the image that they fetch otherwise.
make_busybox() {
  local tree=$work/busybox
  [ -e "$work/busybox.tar" ] && return
  rm -rf "$tree"
  mkdir -p "$tree"/{bin,dev,etc,home,lib,root,tmp,usr/bin,usr/sbin,var/spool/mail,var/www}
  chmod 1777 "$tree/tmp"
  chmod 700 "$tree/root"
  cp /bin/busybox "$tree/bin/busybox"
  for name in $(/bin/busybox --list); do
    [ "$name" = busybox ] || ln "$tree/bin/busybox" "$tree/bin/$name"
  done
  printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1:daemon:/usr/sbin:/bin/false \
    www-data:x:33:33:www-data:/var/www:/bin/false nobody:x:65534:65534:nobody:/home:/bin/false >"$tree/etc/passwd"
  printf '%s:\n' root:x:0 daemon:x:1 adm:x:4 tty:x:5 www-data:x:33 users:x:100 nogroup:x:65534 >"$tree/etc/group"
  tar -C "$tree" -cf "$work/busybox.tar.part" .
  mv "$work/busybox.tar.part" "$work/busybox.tar"
}

# The programs that stand for a runtime: `plain`, `wrapped` and `based`.
make_runtimes() {
  local name=$1 real
  real=$(command -v "$name") || fail "no $name"
  mkdir -p "$work/runtimes"
  printf '#!/bin/sh\nexec %s "$@"\n' "$real" >"$work/runtimes/plain-$name"
  printf '{"root":"%s/store","run":"%s/run"}\n' "$state" "$state" >"$work/runtimes/veneer.json"
  printf '#!/bin/sh\nexec %s --veneer-store "" "" %s "$@"\n' "$project/dist/veneer-$name" "$work/runtimes/veneer.json" \
    >"$work/runtimes/wrapped-$name"
  printf '#!/bin/sh\nexec python3 -SE %s %s %s %s/store %s/run "$@"\n' "$here/with-base.py" "$work/runtimes/wrapped-$name" \
    "$project/dist/veneer" "$state" "$state" >"$work/runtimes/based-$name"
  chmod 755 "$work/runtimes/"*-"$name"
}

# In namespaces of its own and at a terminal, which runc's tests want: a COMMAND of the shell, its output in the file $1.
isolated() {
  timeout --kill-after=5 "$limit" unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    python3 -c 'import pty, sys; pty.spawn(["/bin/sh", "-c", sys.argv[1]])' "$2 2>$1.err" >"$1" </dev/null || true
}

# Runs one file for each of the three.
runc_file() {
  local name=$1
  for mode in plain wrapped based; do
    RUNC=$work/runtimes/$mode-runc isolated "$results/runc.$mode.$name.tap" \
      "exec bats --formatter tap '$sources/tests/integration/$name.bats'"
  done
}

# A test of crun leaves a frozen container behind, which nothing kills before it is thawed.
THAW='f=/sys/fs/cgroup/freezer/frozen; [ ! -e $f ] || { echo THAWED >$f/freezer.state; kill -9 $(cat $f/tasks); until rmdir $f; do sleep 0.1; done; }'

crun_file() {
  local name=$1
  for mode in plain wrapped based; do
    # crun refuses control groups v1 beside a v2 hierarchy
    (cd "$sources" && PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 INIT=$sources/tests/init OCI_RUNTIME=$work/runtimes/$mode-crun isolated "$results/crun.$mode.$name.tap" \
      "! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified; python3 tests/$name.py; $THAW")
  done
}

source scripts/suites/podman.sh

prepare_runc() {
  make_busybox
  mkdir -p "$sources/contrib/cmd/recvtty"
  gcc -O1 -o "$sources/contrib/cmd/recvtty/recvtty" "$here/recvtty.c"
  printf '#!/bin/sh\necho BUSYBOX_IMAGE=%s\necho DEBIAN_IMAGE=%s\n' "$work/busybox.tar" "$work/busybox.tar" \
    >"$sources/tests/integration/get-images.sh"
  # checkpoints need another CRIU than Debian's; the others a program in Go, sshfs, or a Debian as the image
  files=$(cd "$sources/tests/integration" && ls ./*.bats | sed 's|.*/||; s|\.bats$||' | grep -vxE 'checkpoint|seccomp-notify.*|mounts_sshfs|hooks')
}

prepare_crun() {
  [ -e "$sources/config.h" ] || : >"$sources/config.h"
  gcc -static -w -I "$sources" -o "$sources/tests/init" "$sources/tests/init.c"
  files=$(cd "$sources/tests" && ls test_*.py | sed 's|\.py$||' | grep -vx test_checkpoint_restore)
}

[ "$(id -u)" -eq 0 ] || fail "not run as root; hint: it starts containers"
bash scripts/install-packages.sh test:suites bats busybox-static crun gawk gcc jq libc6-dev procps python3 runc
bash scripts/ensure-built.sh
suites=(runc crun)
if [ $# -gt 0 ]; then
  suites=("$1")
  shift
fi
mkdir -p "$work"
exec 9>"$work.lock"
flock -n 9 || fail "another run uses $work"
results=$work/results
# short: sockets lie below it
state=$(mktemp -d /var/tmp/veneer-suites.XXXXXX)
trap 'rm -rf --one-file-system "$state"' EXIT
rm -rf "$results"
mkdir -p "$results"
for suite in "${suites[@]}"; do
  sources=$(source_of "$suite")
  [ "$suite" = podman ] || make_runtimes "$suite"
  "prepare_$suite"
  if [ $# -gt 0 ]; then files=$*; fi
  for name in $files; do
    echo "test:suites: $suite $name" >&2
    "${suite}_file" "$name" 9>&-
  done
done
node scripts/suites/compare.mjs "$results" "$here/expected.tsv"
