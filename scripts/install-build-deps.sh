#!/bin/bash
# Installs the Debian packages that a build needs, those that are missing; does nothing when all are there. Without
# root it says which ones to install.
set -euo pipefail

packages=(gcc musl-tools xz-utils)
missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "build: missing: ${missing[*]}; hint: as root: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "build: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
