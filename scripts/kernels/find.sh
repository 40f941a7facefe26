#!/bin/bash
# find.sh VERSION: the directory of the newest unpacked kernel whose version begins with VERSION, of the architecture $ARCH
set -euo pipefail
shopt -s nullglob
found=$(printf '%s\n' "$STATE/kernels/$1"[.-]*"-$ARCH" "$STATE/kernels/$1" | sort -V | grep -v '/\*$' | tail -1)
[ -d "$found" ] || { echo "test:kernels: no kernel $1 for $ARCH in $STATE/kernels" >&2; exit 1; }
echo "$found"
