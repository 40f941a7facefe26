#!/bin/bash
# Puts the source of QuickJS into build/quickjs-VERSION and prints that path: Debian's source package of a version that
# no longer changes, checked by its SHA-256. An apt configuration of its own, with the mirror of this machine's sources,
# leaves the machine's lists as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2025.04.26
sha256=ec81da5b3249ed648dbc7df4a1654988910e66a118d9b71cb63534216efcfbbe
release=trixie

target=$PWD/build/quickjs-$version
if [ -e "$target/quickjs.c" ]; then
  echo "$target"
  exit
fi

fail() {
  echo "fetch-quickjs: $1" >&2
  exit 1
}

source scripts/apt-elsewhere.sh
mkdir -p build
work=$(mktemp -d "$PWD/build/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
archive=quickjs_$version.orig.tar.xz
apt_elsewhere "$work" "deb-src" "$release"
(cd "$work" && apt-get "${apt_options[@]}" source --download-only "quickjs" >apt.log 2>&1) ||
  fail "apt-get source quickjs: $(tail -n 1 "$work/apt.log")"
[ -e "$work/$archive" ] || fail "$release has no quickjs $version any more"
echo "$sha256  $work/$archive" | sha256sum --check --status || fail "$archive is not what it was: its SHA-256 differs"
mkdir "$work/source"
tar -xf "$work/$archive" -C "$work/source" --strip-components=1
mv -T "$work/source" "$target" 2>/dev/null || [ -e "$target/quickjs.c" ]
echo "$target"
