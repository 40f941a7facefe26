#!/bin/bash
# Installs the Debian packages that the tests use, those that are missing; does nothing when all are there.
# Without root it says what is missing and goes on: the tests that need it then fail or are skipped.
set -euo pipefail

packages=(
  acl attr btrfs-progs busybox-static catatonit containerd criu crun debootstrap docker-registry docker.io e2fsprogs fish gcc
  hyperfine jq libc6-dev libcap2-bin lxc musl-tools podman procps python3-minimal runc skopeo sqlite3 strace tar uidmap umoci util-linux
  xfsprogs xz-utils zsh zstd
)
# LXD comes from Debian 12, Incus from Debian 13; docker-cli and libcriu2 are packages of their own from there on
if grep -q bookworm /etc/os-release; then packages+=(lxd); else packages+=(docker-cli incus-base libcriu2); fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "install-test-deps: missing: ${missing[*]}; hint: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 0
fi
echo "install-test-deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
