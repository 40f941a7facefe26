#!/bin/bash
# install-build-deps.sh [ARCHITECTURE]: installs the Debian packages that a build needs, those that are missing. Without
# root it says which ones to install. A program for another machine is started once by its build, so that needs qemu.
packages=(gcc musl-tools xz-utils)
[ "${1:-}" != arm64 ] || packages+=(gcc-aarch64-linux-gnu qemu-user-static)
exec bash "$(dirname "$0")/install-packages.sh" build "${packages[@]}"
