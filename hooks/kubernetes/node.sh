#!/bin/sh
# What the DaemonSet runs on each node.  usage: node.sh install | keep | ready | remove | removed
#
#   install   programs to /opt/veneer/bin, config.json to /etc/veneer, bases into /var/lib/veneer, and the runtime
#             handler `veneer` into containerd's configuration; twice is once
#   keep      `veneer gc` every hour, until it is told to end
#   ready     succeeds when pods of the runtime class can start
#   remove    takes back what install did; bases and uppers stay
#   removed   succeeds when that is done
#
# The pod has the host's processes and two of its directories, /opt/veneer and /var/lib/veneer, at their own places.
# Images are fetched and unpacked here, by the programs of this image; all else is done in the mount namespace of
# the host's first process, as it would be by hand: what is in use is asked of the host's mounts, and a program
# that does not run on this host is found out before containerd counts on it.
set -eu

from=${VENEER_FROM:-/usr/lib/veneer}
settings=${VENEER_SETTINGS:-/etc/veneer-node}
registry=${VENEER_REGISTRY:-/etc/veneer-registry}
init=${VENEER_INIT:-1}
tasks=${VENEER_TASKS:-/run/containerd/io.containerd.runtime.v2.task}
place=/opt/veneer
bin=$place/bin
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

say() { echo "veneer-node: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# Runs a command on the host, with nothing of this container's environment.
host() { env -i PATH="$PATH" nsenter --target "$init" --mount -- "$@" 9>&-; }
veneer() { host "$bin/veneer" "$@"; }
setting() { if [ -e "$settings/$1" ]; then cat -- "$settings/$1"; fi; }

# Each file appears whole: containers that run call these programs when they end.
install_programs() {
  mkdir -p -- "$bin"
  for name in veneer-release veneer-cli veneer veneer-crun veneer-runc; do
    cmp -s -- "$from/$name" "$bin/$name" && continue
    cp -- "$from/$name" "$bin/$name.new"
    chmod 755 -- "$bin/$name.new"
    sync -- "$bin/$name.new"
    mv -f -- "$bin/$name.new" "$bin/$name"
    say "installed $bin/$name"
  done
  # later starts find it in the page cache
  cat -- "$bin/veneer" "$bin/veneer-cli" >/dev/null
  veneer --version >/dev/null || fail "$bin/veneer-cli does not run on this node; hint: it needs glibc 2.31 or later"
}

# The node's own file is kept, and comes back at the end.
install_config() {
  [ -e "$settings/config.json" ] || return 0
  if grep -Eq '"(root|run)"[[:space:]]*:' "$settings/config.json"; then
    fail "config.json sets root or run; hint: on a node they are /var/lib/veneer and /run/veneer"
  fi
  host sh -c 'umask 022 && mkdir -p /etc/veneer && cat >/etc/veneer/config.json.new' <"$settings/config.json"
  if ! veneer --config /etc/veneer/config.json.new config >/dev/null; then
    host rm -f /etc/veneer/config.json.new
    fail "config.json is not used; hint: put the ConfigMap right"
  fi
  if [ ! -e "$place/config.ours" ] && host test -e /etc/veneer/config.json; then
    host cp -p /etc/veneer/config.json "$place/config.before"
  fi
  cp -- "$settings/config.json" "$place/config.ours"
  host mv -f /etc/veneer/config.json.new /etc/veneer/config.json
}

# Lines of arguments of `veneer base import`. One that fails does not keep the others back.
import_bases() {
  failed=
  if [ -e "$registry/.dockerconfigjson" ]; then
    export REGISTRY_AUTH_FILE="$registry/.dockerconfigjson"
  fi
  set -f
  while read -r line || [ -n "$line" ]; do
    # shellcheck disable=SC2086
    set -- ${line%%#*}
    [ $# -gt 0 ] || continue
    if ! version=$("$from/veneer" base import "$@" --once </dev/null); then
      failed="$failed $1"
      continue
    fi
    say "base $version is the current one"
    forget_old "$1"
  done <<EOF
$(setting bases)
EOF
  set +f
  [ -z "$failed" ] || fail "not brought up to date:$failed; what the node had before is still in use"
}

# Versions beyond those to keep go, unless they are the current one or something uses them.
forget_old() {
  keep=$(setting keep)
  [ "${keep:-0}" -gt 0 ] || return 0
  for version in $(veneer base log "$1" | awk -v keep="$keep" 'NR > keep + 1 && !/^ *\*/ { print $1 }'); do
    if veneer base rm "$1@$version" >/dev/null 2>&1; then say "removed $1@$version"; fi
  done
}

# The file `restart` says since when containerd has to be restarted: boot and ticks (proc_pid_stat(5), starttime), or
# "pending" while its configuration is being written.
setup_containerd() {
  change=$(veneer setup containerd --dry-run)
  if [ -n "$change" ]; then
    printf '%s\n' "$change"
    echo pending >"$place/restart"
    veneer setup containerd >/dev/null
  fi
  [ "$(cat -- "$place/restart" 2>/dev/null)" = pending ] || return 0
  read -r up _ </proc/uptime
  echo "$(cat /proc/sys/kernel/random/boot_id) ${up%.*}${up#*.}" >"$place/restart.new"
  mv -f -- "$place/restart.new" "$place/restart"
}

needs_restart() {
  [ -e "$place/restart" ] || return 1
  read -r boot since <"$place/restart"
  [ "$boot" != pending ] || return 0
  [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] || return 1
  [ "$(containerd_start)" -le "$since" ]
}

# When the host's containerd was started, in ticks since boot; 0 when none runs. Others may run in containers.
containerd_start() {
  latest=0
  namespace=$(readlink "/proc/$init/ns/mnt")
  for process in /proc/[0-9]*; do
    { read -r name <"$process/comm"; } 2>/dev/null || continue
    [ "$name" = containerd ] && [ "$(readlink "$process/ns/mnt")" = "$namespace" ] || continue
    { read -r line <"$process/stat"; } 2>/dev/null || continue
    # shellcheck disable=SC2086
    set -- ${line##*) }
    [ "${20}" -le "$latest" ] || latest=${20}
  done
  echo "$latest"
}

# containerd's containers go on while it is restarted; it is done when the ConfigMap says how, and never else.
restart_containerd() {
  command=$(setting restart)
  if [ -z "$command" ]; then
    say "restart containerd on this node ('systemctl restart containerd'); until then it knows what it knew before"
    return
  fi
  say "on this node: $command"
  host sh -c "$command" || fail "containerd was not restarted"
}

install() {
  [ -w "$place" ] || fail "$place of the host is not there or read-only"
  exec 9>"$place/lock"
  flock 9
  install_programs
  install_config
  import_bases
  setup_containerd
  if needs_restart; then
    restart_containerd
    left=60
    while [ -n "$(setting restart)" ] && needs_restart; do
      [ $left -gt 0 ] || fail "the command for the restart succeeded, but containerd was not restarted"
      left=$((left - 1))
      sleep 1
    done
  fi
  say "done"
}

ready() {
  [ -x "$bin/veneer-runc" ] && ! needs_restart
}

keep() {
  trap 'exit 0' TERM INT
  while :; do
    veneer gc || say "gc failed; it is tried again"
    sleep 3600 &
    wait $!
  done
}

# Programs go last, and only when no container needs them to end.
remove() {
  [ -x "$bin/veneer" ] || {
    say "nothing is installed"
    return
  }
  exec 9>"$place/lock"
  flock 9
  running=$(veneer ps --json)
  [ "$running" = "[]" ] ||
    fail "containers on bases run here: 'veneer ps'; hint: drain the node, or delete the pods of the runtime class"
  # containers without a base and the pods' sandboxes, which call veneer-runc all the same
  # shellcheck disable=SC2016
  called=$(host sh -c 'cd "$1" 2>/dev/null && grep -lsF -- "$2" ./*/*/options.json ./*/*/runtime | cut -d/ -f3 | sort -u' sh "$tasks" "$bin/veneer-runc" || :)
  # shellcheck disable=SC2086
  [ -z "$called" ] ||
    fail "containers of the runtime class run here; hint: drain the node, or delete their pods:" $called
  changed=$(veneer unsetup containerd)
  if [ -e "$place/config.ours" ]; then
    if ! host cmp -s "$place/config.ours" /etc/veneer/config.json; then
      say "/etc/veneer/config.json was changed by somebody else and stays"
    elif [ -e "$place/config.before" ]; then
      host cp -p "$place/config.before" /etc/veneer/config.json
    else
      host sh -c 'rm -f /etc/veneer/config.json; rmdir /etc/veneer 2>/dev/null || :'
    fi
  fi
  rm -rf -- "$bin" "$place/config.ours" "$place/config.before" "$place/restart"
  [ -z "$changed" ] || restart_containerd
  say "removed; bases and what containers wrote are left in /var/lib/veneer"
}

case ${1-} in
install | keep | ready | remove) "$1" ;;
removed) [ ! -e "$bin/veneer-runc" ] ;;
*)
  echo "usage: node.sh install | keep | ready | remove | removed" >&2
  exit 2
  ;;
esac
