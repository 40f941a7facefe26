#!/bin/sh
# Runs a built program through the commands that engines call, and those that are called most, so that it notes
# the order in which it reads its bytecode; the build then lays the bytecode out in that order. Needs root and a mount namespace of its own
# (the caller gives it one); writes order files into DIR.
#
# usage: record-order.sh PROGRAM DIR
set -eu
program=$1 dir=$2
mkdir -p "$dir/base/tmp" "$dir/base/root" "$dir/bundle/rootfs" "$dir/store/bases/b/versions" "$dir/lxc"
echo '{"current":1}' >"$dir/store/bases/b/base.json"
printf '{"layers":[{"path":"%s/base"}],"digest":"x","created":"x","origin":"x"}' "$dir" \
  >"$dir/store/bases/b/versions/1.json"
printf '{"ociVersion":"1.0.2","root":{"path":"rootfs"},"annotations":{"run.veneer.base":"b"}}' >"$dir/bundle/config.json"

veneer() {
  out=$1
  shift
  BUN_BYTECODE_ORDER_OUT=$dir/$out.order "$program" --root "$dir/store" --run "$dir/run" "$@"
}

state() {
  printf '{"ociVersion":"1.0.2","id":"c","status":"%s","pid":%s,"bundle":"%s/bundle","annotations":{"run.veneer.base":"b"}}' \
    "$1" "$2" "$dir"
}

veneer runtime runtime --real order --placement private -- create --bundle "$dir/bundle" r </dev/null >/dev/null
umount "$dir/bundle/config.json" "$dir/bundle/rootfs"

# a container as a runtime has it at createRuntime: a namespace of its own, the root bound, a mount below it
unshare -m --propagation private sh -c '
  mount --bind "$1" "$1"
  mkdir -p "$1/proc"
  mount -t tmpfs none "$1/proc"
  : >"$2"
  exec sleep 60
' sh "$dir/bundle/rootfs" "$dir/mounted" &
pid=$!
trap 'kill $pid' EXIT
while ! [ -e "$dir/mounted" ]; do sleep 0.01; done
state creating $pid | veneer oci hook oci
state stopped 0 | veneer oci-stop hook oci

mount --bind "$dir/lxc" "$dir/lxc"
: >"$dir/lxc.conf"
for type in pre-mount post-stop; do
  LXC_NAME=l LXC_HOOK_TYPE=$type LXC_ROOTFS_PATH=$dir/lxc LXC_CONFIG_FILE=$dir/lxc.conf \
    veneer "lxc-$type" hook lxc --base b </dev/null
done

veneer z-create create order b >/dev/null
veneer z-rm rm order
