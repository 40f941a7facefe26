# shellcheck shell=bash
# Sourced by test.sh: podman's system tests, in a storage of each mode's own, with `plain-runc` or `wrapped-runc` as podman's runtime.
# Containers have the host's network; the image is one of busybox instead of the one that the tests fetch otherwise.

TESTIMAGE=quay.io/libpod/testimage:20220615

# What podman's tests expect of their image.
make_testimage() {
  local tree=$work/testimage
  [ -e "$work/testimage.tar" ] && return
  make_busybox
  rm -rf "$tree"
  mkdir -p "$tree"/{home/podman,media,mnt,opt,proc,run,sbin,srv,sys,var/log}
  tar -C "$tree" -xf "$work/busybox.tar"
  ln -s ../../bin/env "$tree/usr/bin/env"
  printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/sbin/nologin >"$tree/etc/passwd"
  printf '%s\n' root:x:0:root nobody:x:65534: >"$tree/etc/group"
  printf '%s\n' 'NAME="Alpine Linux"' ID=alpine VERSION_ID=3.16.0 >"$tree/etc/os-release"
  echo "${TESTIMAGE##*:}" >"$tree/home/podman/testimage-id"
  touch --date=@1600000000 "$tree/home/podman/testimage-id"
  printf '%s\n' '#!/bin/sh' 'echo Confirmed: testimage pause invoked as $0' 'while :; do sleep 0.1; done' >"$tree/home/podman/pause"
  chmod 755 "$tree/home/podman/pause"
  tar -C "$tree" -cf "$work/testimage.tar.part" .
  mv "$work/testimage.tar.part" "$work/testimage.tar"
}

prepare_podman() {
  local mode at
  make_testimage
  make_runtimes runc
  for mode in plain wrapped; do
    at=$state/podman-$mode
    mkdir -p "$at/tmp"
    cat >"$at/containers.conf" <<EOF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
runc = ["$work/runtimes/$mode-runc"]
EOF
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$at" "$at" >"$at/storage.conf"
    podman_in "$mode" unshare --mount --propagation private podman import -q -c 'LABEL created_by=test/system/build-testimage' -c 'WORKDIR /home/podman' \
      -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
      -c 'CMD ["/bin/echo","This container is intended for podman CI testing"]' "$work/testimage.tar" "$TESTIMAGE" >/dev/null
  done
  # the others need a network, systemd, other users, or programs that build images
  files="030-run 032-sig-proxy 035-logs 040-ps 045-start 050-stop 055-rm 060-mount 065-cp 075-exec 080-pause 090-events 130-kill 140-diff
    160-volumes 170-run-userns 190-run-ipcns 200-pod 220-healthcheck 280-update 450-interactive"
}

podman_in() {
  local at=$state/podman-$1
  shift
  CONTAINERS_CONF=$at/containers.conf CONTAINERS_STORAGE_CONF=$at/storage.conf TMPDIR=$at/tmp PODMAN_TIMEOUT=40 "$@"
}

podman_file() {
  local name=$1
  for mode in plain wrapped; do
    (cd "$sources" && podman_in "$mode" isolated "$results/podman.$mode.$name.tap" "exec bats --formatter tap test/system/$name.bats")
  done
}
