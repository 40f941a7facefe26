#!/usr/bin/env bash
# npm run install-local -- [--prefix DIR]: puts the program and the wrapping runtimes into PREFIX/bin, the large
# program behind it into PREFIX/libexec/veneer, the engine files into PREFIX/share/veneer, the completions where shells
# look for them, the manual pages, and the systemd units into PREFIX/lib/systemd/system. Running it again replaces what is there, each
# file at once; containers that run are not touched.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=/usr/local
usage() {
  echo "usage: npm run install-local -- [--prefix DIR]" >&2
  exit "$1"
}
while [ $# -gt 0 ]; do
  case $1 in
  --prefix)
    [ $# -gt 1 ] || usage 2
    prefix=$2
    shift
    ;;
  --prefix=*) prefix=${1#*=} ;;
  -h | --help) usage 0 ;;
  *) usage 2 ;;
  esac
  shift
done
case $prefix in
/*) prefix=${prefix%/} ;;
*)
  echo "install-local: the prefix '$prefix' is not an absolute path" >&2
  exit 2
  ;;
esac
case $prefix in
*[!A-Za-z0-9/._+-]*)
  echo "install-local: the prefix '$prefix' cannot stand in the engines' files; hint: use letters, digits and . _ + -" >&2
  exit 2
  ;;
esac

bash scripts/ensure-built.sh

place() { # MODE SOURCE TARGET, with the prefix filled in where the file is not the program
  mkdir -p -- "${3%/*}"
  case $2 in
  dist/veneer | dist/veneer-cli) cp -- "$2" "$3.new" ;;
  *)
    sed -e "s|@PREFIX@|$prefix|g" -e "s|/usr/bin/veneer\b|$prefix/bin/veneer|g" -- "$2" >"$3.new"
    ;;
  esac
  chmod "$1" -- "$3.new"
  mv -f -- "$3.new" "$3"
}

place 755 dist/veneer "$prefix/bin/veneer"
for name in veneer-runc veneer-crun veneer-release; do
  ln -sf veneer "$prefix/bin/$name.new"
  mv -fT -- "$prefix/bin/$name.new" "$prefix/bin/$name"
done
place 755 dist/veneer-cli "$prefix/libexec/veneer/veneer-cli"
while IFS= read -r file; do
  case $file in
  hooks/systemd/*) place 644 "$file" "$prefix/lib/systemd/system/${file##*/}" ;;
  *.sh) place 755 "$file" "$prefix/share/veneer/${file#hooks/}" ;;
  *) place 644 "$file" "$prefix/share/veneer/${file#hooks/}" ;;
  esac
done < <(find hooks -type f)

complete() { # SHELL FILE
  mkdir -p -- "$prefix/share/${2%/*}"
  "$prefix/bin/veneer" completion "$1" >"$prefix/share/$2.new"
  chmod 644 -- "$prefix/share/$2.new"
  mv -f -- "$prefix/share/$2.new" "$prefix/share/$2"
}
complete bash bash-completion/completions/veneer
complete zsh zsh/site-functions/_veneer
complete fish fish/vendor_completions.d/veneer.fish

pages=$(mktemp -d)
trap 'rm -rf -- "$pages"' EXIT
node_modules/@oven/bun-linux-x64/bin/bun packaging/man.ts "$pages" "$("$prefix/bin/veneer" --version | cut -d' ' -f2)"
for page in "$pages"/*; do place 644 "$page" "$prefix/share/man/man1/${page##*/}"; done

# read once, the program's later starts come from memory
cat -- "$prefix/bin/veneer" >/dev/null
echo "installed in $prefix: bin/veneer, bin/veneer-runc, bin/veneer-crun, share/veneer, share/man, lib/systemd/system" >&2
echo "next: $prefix/bin/veneer base import NAME SOURCE, or --in-place for a directory as it stands" >&2
