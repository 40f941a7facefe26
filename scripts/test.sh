#!/bin/bash
# npm test: sets up what is missing, builds, and runs unit, root and end-to-end tests. Arguments go to vitest:
#   npm test -- --project unit            npm test -- test/e2e/hook-oci.test.ts
#   npm test -- --shared …       with every mount shared, as on a host with systemd; what is left mounted is a failure
# Root tests mount for real, so all of it runs in a private mount namespace, which takes every mount with it.
# Where that cannot be made, root and end-to-end tests are skipped and say why; with CI=true they fail.
set -euo pipefail
cd "$(dirname "$0")/.."

node scripts/npm-deps.mjs
bash scripts/install-test-deps.sh
npm run --silent build

export VENEER_TEST_SKIP=
if [ "${1-}" = --shared ]; then
  export VENEER_TEST_SHARED=1
  shift
fi
enter=(unshare --mount --propagation private --)
if [ "$(id -u)" -ne 0 ]; then
  VENEER_TEST_SKIP="not run as root"
elif ! why=$("${enter[@]}" mount -t tmpfs tmpfs /mnt 2>&1); then
  VENEER_TEST_SKIP="cannot mount (CAP_SYS_ADMIN is missing?): $why"
fi
if [ -z "$VENEER_TEST_SKIP" ]; then
  export VENEER_TEST_NAMESPACE=private
  exec "${enter[@]}" bash scripts/test-inside.sh "$@"
fi
echo "npm test: root and end-to-end tests are skipped: $VENEER_TEST_SKIP" >&2
node_modules/.bin/vitest run "$@"
if [ -n "${CI-}" ]; then
  echo "npm test: CI is set: that is a failure" >&2
  exit 1
fi
