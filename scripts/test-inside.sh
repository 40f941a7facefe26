#!/bin/bash
# test-inside.sh ARGUMENT…: vitest in the mount namespace that test.sh has made for it. With VENEER_TEST_SHARED=1 every
# mount in it is shared, as systemd makes those of a host, and what is left mounted in the end is a failure.
set -uo pipefail
table() { cut -d' ' -f4- /proc/self/mountinfo | sed -E 's/ (shared|master):[0-9]+//g; s,//deleted , ,' | sort; }

if [ -n "${VENEER_TEST_RESULTS-}" ]; then
  set -- "$@" --outputFile.json="$VENEER_TEST_RESULTS/$VENEER_TEST_GROUP.json"
fi
if [ -z "${VENEER_TEST_SHARED-}" ]; then exec node_modules/.bin/vitest run "$@"; fi
mount --make-rshared /
before=$(table)
node_modules/.bin/vitest run "$@"
status=$?
# what other work on the machine deletes is unmounted here too
left=$(comm -13 <(echo "$before") <(table))
if [ -n "$left" ]; then
  echo "npm test: the tests left mounts behind:" >&2
  echo "$left" >&2
  [ "$status" -ne 0 ] || status=1
fi
exit "$status"
