#!/usr/bin/env bash
# npm run bench -- [--quick] [-n RUNS] [--json|--markdown] [--compare FILE] [PART]…: measures, in a mount namespace of its own.
# It installs the Debian packages it compares with, and keeps a Debian in build/; docs/benchmarks.md says how long it takes.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/ensure-built.sh
# what the parts need or compare with; a part that misses something says so and is skipped
install() {
  bash "$@" >&2 || echo "bench: $1 failed with status $?: what needs its packages is skipped" >&2
}
install scripts/install-test-deps.sh
install scripts/install-packages.sh bench bubblewrap gnuplot-nox systemd-container
# the first runs after a build would otherwise read the program from the disk
cat dist/veneer >/dev/null
exec unshare -m --propagation private -- node_modules/@oven/bun-linux-x64/bin/bun bench/main.ts "$@"
