#!/bin/bash
# Builds the packages into dist/packages: veneer_VERSION_amd64.deb, the same for arm64 (cross-built; npm run test:kernels -- --arm64 runs its
# programs), and an npm package that installs the program. usage: npm run package [-- [--no-build] amd64|arm64|npm ...]
#
# The program is never stripped: a stripped file becomes the bun command line.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(node -p 'require("./package.json").version')
out=dist/packages
bun=node_modules/@oven/bun-linux-x64/bin/bun
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# tree ARCH PROGRAMS: what the package holds, below $work/ARCH
tree() {
  local root=$work/$1 programs=$2
  install -d "$root"/{DEBIAN,usr/bin,usr/lib/veneer,usr/lib/systemd/system,usr/share/{man/man1,doc/veneer,veneer}}
  for name in veneer veneer-cli; do install -m 755 "$programs/$name" "$root/usr/lib/veneer/$name"; done
  for name in veneer-runc veneer-crun veneer-release; do ln -s veneer "$root/usr/lib/veneer/$name"; done
  for name in veneer veneer-runc veneer-crun; do ln -s "../lib/veneer/$name" "$root/usr/bin/$name"; done
  install -m 644 hooks/systemd/* packaging/veneer-warm.service "$root/usr/lib/systemd/system/"
  "$bun" packaging/man.ts "$root/usr/share/man/man1" "$version"
  gzip -9n "$root"/usr/share/man/man1/*
  install -m 644 README.md CHANGELOG.md docs/*.md "$root/usr/share/doc/veneer/"
  install -m 644 LICENSE "$root/usr/share/doc/veneer/copyright"
  cp -r hooks/* schemas "$root/usr/share/veneer/"
  rm -rf "$root/usr/share/veneer/systemd"
  grep -rlF @PREFIX@ "$root/usr/share/veneer" | xargs -r sed -i "s|@PREFIX@|/usr|g"
  completions "$root"
  install -m 755 packaging/deb/{postinst,prerm,postrm} "$root/DEBIAN/"
  sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$1/" -e "s/@SIZE@/$(du -sk "$root" | cut -f1)/" \
    packaging/deb/control >"$root/DEBIAN/control"
}

# The completions are texts that the amd64 program prints, the same for both.
completions() {
  [ -x dist/veneer ] && dist/veneer completion bash >/dev/null 2>&1 || return 0
  install -d "$1"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
  dist/veneer completion bash >"$1/usr/share/bash-completion/completions/veneer"
  dist/veneer completion zsh >"$1/usr/share/zsh/vendor-completions/_veneer"
  dist/veneer completion fish >"$1/usr/share/fish/vendor_completions.d/veneer.fish"
}

deb() {
  tree "$1" "$2"
  dpkg-deb --root-owner-group -Zgzip --build "$work/$1" "$out/veneer_${version}_$1.deb" >/dev/null
  echo "$out/veneer_${version}_$1.deb"
}

if [ "${1:-}" = --no-build ]; then shift; else node scripts/build.mjs; fi
[ $# -gt 0 ] || set -- amd64 arm64 npm
for kind; do
  case $kind in
  amd64) deb amd64 dist ;;
  arm64)
    runtime=$(node -p 'require("./package.json").devDependencies["@oven/bun-linux-x64"]')
    (cd "$work" && npm pack --silent "@oven/bun-linux-aarch64@$runtime" | xargs tar -xzf)
    node scripts/build.mjs --arm64 "$work/package/bin/bun"
    deb arm64 dist/arm64
    ;;
  npm)
    install -d "$work/npm/bin"
    install -m 755 dist/veneer dist/veneer-cli dist/veneer-runc dist/veneer-crun dist/veneer-release "$work/npm/bin/"
    install -m 644 README.md LICENSE CHANGELOG.md "$work/npm/"
    sed "s/@VERSION@/$version/" packaging/npm.json >"$work/npm/package.json"
    (cd "$work/npm" && npm pack --silent --pack-destination "$OLDPWD/$out" >/dev/null)
    echo "$out/veneer-linux-x64-$version.tgz"
    ;;
  *)
    echo "package: unknown kind $kind; hint: amd64, arm64 or npm" >&2
    exit 2
    ;;
  esac
done
