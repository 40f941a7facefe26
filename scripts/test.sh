#!/bin/bash
# npm test: sets up what is missing, builds, and runs unit, root, security and end-to-end tests. Arguments go to vitest:
#   npm test -- --project unit            npm test -- test/e2e/hook-oci.test.ts
#   npm test -- --shared …       with every mount shared, as on a host with systemd; what is left mounted is a failure
# Root tests mount for real, so each group runs in a private mount namespace, which takes every mount with it. End-to-end
# tests wait for engines much of the time: they are two groups, and all others run beside them as a third.
# Where no namespace can be made, root and end-to-end tests are skipped and say why; with CI=true they fail.
# With VENEER_TEST_RESULTS=DIRECTORY vitest's JSON reports are in that, a file a group.
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
if [ -n "${VENEER_TEST_RESULTS-}" ]; then set -- "$@" --reporter=default --reporter=json; fi

enter=(unshare --mount --propagation private --)
if [ "$(id -u)" -ne 0 ]; then
  VENEER_TEST_SKIP="not run as root"
elif ! why=$("${enter[@]}" mount -t tmpfs tmpfs /mnt 2>&1); then
  VENEER_TEST_SKIP="cannot mount (CAP_SYS_ADMIN is missing?): $why"
fi
if [ -n "$VENEER_TEST_SKIP" ]; then
  echo "npm test: root and end-to-end tests are skipped: $VENEER_TEST_SKIP" >&2
  VENEER_TEST_GROUP=all bash scripts/test-inside.sh "$@"
  if [ -n "${CI-}" ]; then
    echo "npm test: CI is set: that is a failure" >&2
    exit 1
  fi
  exit 0
fi

export VENEER_TEST_NAMESPACE=private
run() { # GROUP ARGUMENT…
  VENEER_TEST_GROUP=$1 exec "${enter[@]}" bash scripts/test-inside.sh "${@:2}"
}

# one group where the arguments choose a project, or leave files of one group alone
if [[ " $* " == *" --project"[=\ ]* ]]; then run all "$@"; fi
listed=$(node_modules/.bin/vitest list --filesOnly "$@")
if ! grep -q '^\[e2e\] ' <<<"$listed" || ! grep -qv '^\[e2e\] ' <<<"$listed"; then run all "$@"; fi

pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' INT TERM HUP
beside() { # GROUP ARGUMENT…
  (run "$@") > >(sed -u "s/^/$(printf %-6s "$1") | /") 2>&1 &
  pids+=($!)
}
if [ "$(grep -c '^\[e2e\] ' <<<"$listed")" -eq "$(find test/e2e -name '*.test.ts' | wc -l)" ]; then
  # about half of their time each
  beside e2e-kl "$@" --project e2e test/e2e/k test/e2e/l
  beside e2e "$@" --project e2e --exclude 'test/e2e/[kl]*'
else
  beside e2e "$@" --project e2e
fi
beside others "$@" --project '!e2e'
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
exit "$status"
