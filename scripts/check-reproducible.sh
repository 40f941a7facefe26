#!/bin/bash
# npm run test:reproducible: builds the small program a second time, from a copy of the sources in another directory, with
# another environment and nothing kept from earlier builds, and compares it with dist/veneer byte by byte.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/ensure-built.sh
copy=$(mktemp -d "${TMPDIR:-/tmp}/veneer-copy-in-a-directory-of-another-length.XXXXXX")
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --null --files-from - --ignore-failed-read -c 2>/dev/null | tar -x -C "$copy"
ln -s "$PWD/node_modules" "$copy/node_modules"
mkdir "$copy/build"
cp -a build/quickjs-* "$copy/build/"
(
  umask 077
  cd "$copy"
  export PATH HOME=$copy LC_ALL=C TZ=Pacific/Kiritimati VENEER_UNKNOWN=1
  node scripts/build.mjs --schemas-only
  node --input-type=module -e '
    import { readFileSync } from "node:fs";
    import { buildSmall } from "./scripts/build-small.mjs";
    await buildSmall("veneer", process.arch, JSON.parse(readFileSync("package.json", "utf8")).version);'
)
cmp dist/veneer "$copy/veneer"
echo "the same twice: $(sha256sum <dist/veneer | cut -d' ' -f1), $(stat -c %s dist/veneer) bytes"
