#!/bin/bash
# Installs the Debian packages that the tests use, those that are missing; does nothing when all are there.
# Without root it says what is missing and goes on: the tests that need it then fail or are skipped.
set -euo pipefail

packages=(
  acl attr btrfs-progs busybox-static catatonit containerd criu crun debootstrap docker-registry docker.io e2fsprogs fish gcc
  hyperfine jq libc6-dev libcap2-bin lxc man-db musl-tools podman procps python3-minimal runc skopeo sqlite3 strace tar uidmap umoci util-linux
  xfsprogs xz-utils zsh zstd
)
# LXD comes from Debian 12, Incus from Debian 13; docker-cli and libcriu2 are packages of their own from there on
if grep -q bookworm /etc/os-release; then packages+=(lxd); else packages+=(docker-cli incus-base libcriu2); fi

status=0
bash "$(dirname "$0")/install-packages.sh" install-test-deps "${packages[@]}" || status=$?
[ "$status" -eq 3 ] || exit "$status"
