#!/bin/bash
# install-packages.sh WHO PACKAGE…: installs those Debian packages that are missing. Without root it says which ones and exits 3.
set -euo pipefail

who=$1
shift
missing=()
for package; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "$who: missing: ${missing[*]}; hint: as root: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 3
fi
echo "$who: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
