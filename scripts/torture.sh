#!/usr/bin/env bash
# npm run torture -- [--quick] [--only PART]… [--seed N] …: see torture/main.ts and docs/reliability.md. In a mount namespace
# and a process namespace of its own: when it ends, killed or not, no process and no mount is left.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/ensure-built.sh
# clang and its fuzzer, the libraries of which have the compiler's number in their package's name: not for every commit
case " $* " in
  *" --quick "* | *" --help "* | *" -h "*) ;;
  *)
    number=$(apt-cache depends clang | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p')
    bash scripts/install-packages.sh torture clang "libclang-rt-$number-dev" gcc lxc runc strace util-linux xfsprogs || [ $? -eq 3 ]
    ;;
esac
# bash, not node, is the first process of the namespace: it takes leave of processes whose parents have ended
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc -- bash -c 'node torture/run.mjs "$@"; exit $?' torture "$@"
