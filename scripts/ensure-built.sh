#!/usr/bin/env bash
# Brings node_modules and dist/ up to date when they are not: a build takes a while and replaces the program.
set -euo pipefail
cd "$(dirname "$0")/.."
node scripts/npm-deps.mjs
stale() {
  [ -x dist/veneer ] || return 0
  [ -n "$(find src schemas scripts/build.mjs scripts/build-small.mjs package.json -type f -newer dist/veneer \
    -not -path 'src/generated/*' -print -quit)" ]
}
if stale; then npm run --silent build >&2; fi
