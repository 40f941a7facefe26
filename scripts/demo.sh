#!/usr/bin/env bash
# npm run demo [-- --debian]: installs what is missing, builds, and shows several containers on one base: the
# host's own root file system in place, with its secrets masked, or with --debian a fresh Debian from debootstrap.
# Store and records are in a temporary directory; nothing is left of them, also when it is interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."

debian=
for word; do
  case $word in
  --debian) debian=1 ;;
  -h | --help) sed -n '2,4s/^# //p' "$0" && exit ;;
  *) echo "demo: unknown option $word; usage: npm run demo [-- --debian]" >&2 && exit 2 ;;
  esac
done

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
step() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }
note() { printf '   %s\n' "$*"; }
# shows a command, runs it, and indents what it prints
shows() {
  printf '   %s$ %s%s\n' "$dim" "$1" "$plain"
  shift
  { "$@" 2>&1 || true; } | sed 's/^/   /'
}
fail() {
  printf 'demo: %s\n' "$1" >&2
  exit 1
}

# --- set-up: programs, then the build as whoever started this, the rest as root
bash scripts/ensure-built.sh
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "containers need root; hint: run it as root, or install sudo"
  exec sudo -- env "PATH=$PATH:/usr/sbin:/sbin" bash "$0" "$@"
fi
PATH=$PATH:/usr/sbin:/sbin
missing=()
command -v runc >/dev/null || missing+=(runc)
[ -z "$debian" ] || command -v debootstrap >/dev/null || missing+=(debootstrap)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "${missing[*]} is missing; hint: install it with your package manager"
  echo "demo: installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

# --- a store of its own, where overlayfs can have an upper
directory=
for place in "${TMPDIR:-/var/tmp}" /var/tmp /tmp /dev/shm; do
  if [ -d "$place" ] && [ "$(stat -f -c %T "$place")" != overlayfs ]; then
    directory=$(mktemp -d "$place/veneer-demo-XXXXXX") && break
  fi
done
[ -n "$directory" ] || fail "no directory outside of an overlay for the store; hint: set TMPDIR"
store=$directory/store run=$directory/run
names=(web1 web2 web3)
jobs=()
veneer() { dist/veneer --root "$store" --run "$run" --config "$directory/config.json" "$@"; }
inside() { runc --root "$run/runc" exec "$1" "${@:2}"; }
now() { date +%s%N; }
milliseconds() { echo $((($2 - $1) / 1000000)); }

stop() {
  for name in "${names[@]}"; do runc --root "$run/runc" kill "$name" KILL 2>/dev/null || true; done
  for job in "${jobs[@]}"; do wait "$job" 2>/dev/null || true; done
  jobs=()
}
clean() {
  status=$?
  trap '' INT TERM HUP
  stop
  rm -rf --one-file-system -- "$directory"
  exit "$status"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# --- the base
cat >"$directory/config.json" <<'END'
{
  "opaque": ["/tmp", "/root", "/home", "/var/tmp"],
  "mask": ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/machine-id", "/etc/krb5.keytab",
    "/etc/ssh/ssh_host_*", "/etc/ssl/private", "/etc/sudoers", "/etc/sudoers.d", "/etc/NetworkManager/system-connections",
    "/etc/wireguard", "/var/lib/sss", "/swapfile"]
}
END
if [ -n "$debian" ]; then
  base=debian
  # the mirror and the release that this system itself uses
  mirror=$(. scripts/apt-elsewhere.sh && debian_mirror)
  [ -n "$mirror" ] || fail "no mirror of Debian in /etc/apt; hint: without --debian the demo takes the host's own root"
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  step "A base: Debian $release from debootstrap"
  note "$mirror"
  started=$(now)
  debootstrap --variant=minbase "$release" "$directory/root" "$mirror" >"$directory/log" 2>&1 ||
    { tail -n 5 "$directory/log" >&2 && fail "debootstrap failed"; }
  note "debootstrap took $(($(milliseconds "$started" "$(now)") / 1000)) s"
  started=$(now)
  shows "veneer base import debian root/" veneer base import debian "$directory/root"
  note "import took $(milliseconds "$started" "$(now)") ms"
  rm -rf --one-file-system -- "$directory/root"
  bytes=$(($(du -sk --one-file-system "$store/layers" | cut -f1) * 1024))
else
  base=host
  step "A base: this host's own root file system, in place"
  shows "veneer base import host / --in-place --force" veneer base import host / --in-place --force
  bytes=$(($(df -k --output=used / | tail -n 1) * 1024))
  note "$(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r); nothing is copied"
  note "masked: shadow passwords, ssh host keys, machine-id, private keys; empty: /tmp /var/tmp /root /home"
fi
human() { numfmt --to=iec-i --suffix=B --format=%.1f "$1"; }

# --- containers
step "Three containers on it, each with a persistent instance of its own"
for name in "${names[@]}"; do
  started=$(now)
  # the subshell becomes the program, so that its id is the one to wait for
  (
    exec dist/veneer --root "$store" --run "$run" --config "$directory/config.json" run "$base" --name "$name" -- \
      sh -c 'date +%s%N; echo "written by $1" >/etc/written; dd if=/dev/zero of=/var/own bs=1k count="$2" status=none; : >/ready; exec sleep 1000' \
      sh "$name" $((64 + RANDOM % 192))
  ) >"$directory/$name.out" 2>"$directory/$name.err" </dev/null &
  jobs+=($!)
  for ((count = 0; count < 500; count++)); do
    [ -s "$directory/$name.out" ] && inside "$name" test -e /ready 2>/dev/null && break
    kill -0 "${jobs[-1]}" 2>/dev/null || break
    sleep 0.02
  done
  [ -s "$directory/$name.out" ] || fail "$name did not start: $(cat "$directory/$name.err")"
  note "veneer run $base --name $name: first instruction after $(milliseconds "$started" "$(head -n 1 "$directory/$name.out")") ms"
done
echo
shows "veneer ps" veneer ps

step "Each has its own writes, and the host has none of them"
for name in "${names[@]}"; do shows "[$name] cat /etc/written" inside "$name" cat /etc/written; done
[ -n "$debian" ] || shows "[host] cat /etc/written" cat /etc/written
shows "veneer diff web1" veneer diff web1

step "Each has an empty /tmp and /root"
note "entries in /tmp of the host: $(find /tmp -mindepth 1 -maxdepth 1 | wc -l)"
for name in "${names[@]}"; do note "entries in /tmp and /root of $name: $(inside "$name" sh -c 'ls -A /tmp /root | grep -cv ":$\|^$"' || true)"; done
if [ -z "$debian" ] && [ -e /etc/shadow ]; then shows "[web1] cat /etc/shadow" inside web1 cat /etc/shadow; fi

step "They share the base: one file on disk, once in memory"
for name in "${names[@]}"; do
  note "$name: /bin/sh is inode $(inside "$name" stat -Lc %i /bin/sh), $(inside "$name" sh -c 'sha256sum </bin/sh' | cut -c1-16)…"
done
if [ -n "$debian" ]; then
  sample=$(find "$store/layers" -path '*/tree/*bin/dash' | head -n 1)
  note "base: /bin/sh is inode $(stat -Lc %i "$sample")"
else
  note "host: /bin/sh is inode $(stat -Lc %i /bin/sh)"
fi

step "What each costs on disk"
total=0
printf '   %-10s %12s\n' base "$(human "$bytes")"
for name in "${names[@]}"; do
  own=$(($(du -sk "$store/instances/$name" | cut -f1) * 1024))
  total=$((total + own))
  printf '   %-10s %12s\n' "$name" "$(human "$own")"
done
note "three full copies would be $(human $((3 * bytes))) more; the three instances are $(human "$total")"

step "What each costs in time"
times=()
for _ in 1 2 3 4 5 6 7; do
  started=$(now)
  veneer run "$base" -- true
  times+=("$(milliseconds "$started" "$(now)")")
done
mapfile -t times < <(printf '%s\n' "${times[@]}" | sort -n)
note "veneer run $base -- true, start to end and removed: ${times[3]} ms (median of 7)"
started=$(now)
stop
note "stopping the three: $(milliseconds "$started" "$(now)") ms"
started=$(now)
veneer rm "${names[@]}"
note "removing the three instances: $(milliseconds "$started" "$(now)") ms"

step "Nothing is left"
for ((count = 0; count < 100; count++)); do
  [ -z "$(ls -A "$store/ephemeral" "$store/instances" "$run/records" "$run/bundles" 2>/dev/null | grep -v ':$' | grep .)" ] && break
  sleep 0.05
done
shows "veneer gc" veneer gc
note "overlays mounted on this host by the demo: $(grep -c "veneer:.*$directory" /proc/self/mounts || true)"
rm -rf --one-file-system -- "$directory"
[ ! -e "$directory" ] && note "the demo's store is removed"
