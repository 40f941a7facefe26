#!/bin/bash
# fetch-musl.sh ARCHITECTURE: puts musl for another machine's programs into build/musl-VERSION-ARCHITECTURE and prints the
# path of the specs by which GCC for that machine takes it: Debian's package, checked by its SHA-256.
set -euo pipefail
cd "$(dirname "$0")/.."

architecture=$1
version=1.2.3-1
release=bookworm
case $architecture in
  arm64) triplet=aarch64-linux-musl sha256=55c2ca4bc3041c8ed8ac7dc3ef6080d9551a21650568b2fd7610b59eaf98a4f4 ;;
  *) echo "fetch-musl: no architecture '$architecture'" >&2 && exit 2 ;;
esac

target=$PWD/build/musl-$version-$architecture
specs=$target/musl-gcc.specs
if [ -e "$specs" ]; then
  echo "$specs"
  exit
fi

fail() {
  echo "fetch-musl: $1" >&2
  exit 1
}

source scripts/apt-elsewhere.sh
mkdir -p build
work=$(mktemp -d "$PWD/build/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
package=musl-dev_${version}_$architecture.deb
apt_elsewhere "$work" deb "$release" "$architecture"
(cd "$work" && apt-get "${apt_options[@]}" download "musl-dev=$version" >apt.log 2>&1) ||
  fail "apt-get download musl-dev: $(tail -n 1 "$work/apt.log")"
echo "$sha256  $work/$package" | sha256sum --check --status || fail "$package is not what it was: its SHA-256 differs"
dpkg-deb -x "$work/$package" "$work/root"
sed -e "s|/usr/include/$triplet|$target/include|g" -e "s|/usr/lib/$triplet|$target/lib|g" \
  "$work/root/usr/lib/$triplet/musl-gcc.specs" >"$work/specs"
mkdir "$work/made"
mv "$work/root/usr/include/$triplet" "$work/made/include"
mv "$work/root/usr/lib/$triplet" "$work/made/lib"
mv "$work/specs" "$work/made/musl-gcc.specs"
mv -T "$work/made" "$target" 2>/dev/null || [ -e "$specs" ]
echo "$specs"
