#!/bin/bash
# npm run proof -- [ROUNDS]: what npm test shows in short, at length: a container at work is rebased ROUNDS times (100)
# while its work is watched, and a rebase is killed at each of its calls. Needs root; a few minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1-100}
case $rounds in
  '' | *[!0-9]* | 0) echo "usage: npm run proof -- [ROUNDS]" >&2 && exit 2 ;;
esac
node scripts/npm-deps.mjs
bash scripts/install-test-deps.sh
npm run --silent build
export VENEER_PROOF_ROUNDS=$rounds VENEER_TEST_NAMESPACE=private CI=${CI-true}
exec unshare --mount --propagation private -- node_modules/.bin/vitest run --project e2e \
  test/e2e/live-load.test.ts test/e2e/live-kill.test.ts
