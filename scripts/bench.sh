#!/usr/bin/env bash
# npm run bench -- [--quick] [-n RUNS] [--json] [--compare FILE] [PART]…: measures, in a mount namespace of its own, so that
# nothing is left on the host.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/ensure-built.sh
# the peers; a part skips what is missing
bash scripts/install-test-deps.sh >&2
bash scripts/install-packages.sh bench bubblewrap gnuplot-nox systemd-container >&2 || true
# the first runs after a build would otherwise read the program from the disk
cat dist/veneer >/dev/null
exec unshare -m --propagation private -- node_modules/@oven/bun-linux-x64/bin/bun bench/main.ts "$@"
