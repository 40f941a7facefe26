#!/bin/sh
# veneer wrapping runtime: gives a container its root and becomes the real runtime.
#
# Called as veneer-runc or veneer-crun (or by a link named runc or crun), it takes the place of that runtime
# in an engine. Only `create`, `run` and `restore` of a bundle whose config.json has a run.veneer.* annotation (or,
# where the configuration allows it, a VENEER_* variable) are prepared, and `checkpoint` of what runs on a base;
# all else is handed on at once. This is a shell script because the real runtime must get the caller's descriptors,
# limits and signal dispositions as they are, which a large run time has changed.
self=$0

# Runs the program on a command line of the runtime, in the namespace where this runs. It says "ready" when all
# is in place and ends by itself meanwhile; what else it has to say goes to stderr. Nothing in the environment
# may change what it runs; the option for JavaScriptCore saves a thread that would never be of use.
prepare() {
  placement=$1
  shift
  ask --placement "$placement" --script $$ ${root:+--by-hand} -- "$@"
  [ "$said" = ready ] || exit 1
}

ask() {
  said=$(
    unset LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT BUN_OPTIONS BUN_BE_BUN BUN_INSPECT BUN_INSPECT_CONNECT_TO \
      BUN_INSPECT_NOTIFY BUN_BYTECODE_ORDER_OUT
    export BUN_JSC_useWarmUpMarkedBlocks=0
    "$program" ${root:+--root "$root"} ${run:+--run "$run"} ${settings:+--config "$settings"} \
      runtime --real "$name" "$@" </dev/null &
  )
}

if [ "$1" = --veneer-private ]; then
  # second part, in a mount namespace of its own: what is mounted here goes with the container
  real=$2 program=$3 name=$4 root=$5 run=$6 settings=$7
  shift 7
  prepare private "$@"
  exec "$real" "$@"
fi

# `veneer run` hands on its store and configuration; an empty word means the default
root='' run='' settings=''
if [ "$1" = --veneer-store ]; then
  root=$2 run=$3 settings=$4
  shift 4
fi

name=${self##*/}
name=${name#veneer-}
case $self in
*/*) here=${self%/*} ;;
*) here=. ;;
esac
program=$here/veneer
if ! [ -x "$program" ]; then
  target=$(readlink -f -- "$self")
  program=${target%/*}/veneer
fi

fail() {
  echo "$self: $1" >&2
  exit 1
}

# The real runtime: from the configuration, else from PATH. What comes behind this script there goes first: a
# copy of it in another directory then looks further on, so that no two ever call each other.
real='' settled=''
file=${settings:-/etc/veneer/config.json}
# in a user namespace that a user without root has made, its own
if [ -z "$settings" ] && read -r _ outside _ </proc/self/uid_map && [ "$outside" != 0 ] &&
  [ -e "$HOME/.config/veneer/config.json" ]; then
  file=$HOME/.config/veneer/config.json
fi
[ ! -e "$file" ] || settled=$(LC_ALL=C exec grep -oF -e '"runtimes"' -e '"environment"' -- "$file")
case $settled in
*runtimes*)
  real=$(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$program" ${settings:+--config "$settings"} \
    runtime --which "$name" </dev/null) || exit
  ;;
esac
if [ -z "$real" ]; then
  before='' passed=''
  ifs=$IFS
  IFS=:
  set -f
  for directory in $PATH; do
    candidate=${directory:-.}/$name
    if [ -f "$candidate" ] && [ -x "$candidate" ]; then
      if [ "$candidate" -ef "$self" ]; then
        passed=1
      elif [ -n "$passed" ]; then
        real=$candidate
        break
      else
        before=${before:-$candidate}
      fi
    fi
  done
  set +f
  IFS=$ifs
  if [ -z "$real" ] && [ -n "$before" ]; then
    [ -z "$passed" ] || ! head -n 2 "$before" | grep -qa '^# veneer wrapping runtime' || before=
    real=$before
  fi
fi
[ -n "$real" ] || fail "no $name on PATH besides this script; hint: install $name, or name it in /etc/veneer/config.json under \"runtimes\""

# Finds the subcommand behind the global options, then the bundle.
command='' bundle='' config='' skip=''
for word; do
  case $skip in
  '') ;;
  bundle) bundle=$word skip='' && continue ;;
  config) config=$word skip='' && continue ;;
  *) skip='' && continue ;;
  esac
  if [ -z "$command" ]; then
    case $word in
    --log | --log-format | --log-level | --root | --criu | --rootless | --cgroup-manager) skip=value ;;
    -log | -log-format | -root | -criu | -rootless) skip=value ;;
    -*) ;;
    create | run | restore | checkpoint) command=$word ;;
    *) break ;;
    esac
  else
    case $word in
    -b | --bundle | -bundle) skip=bundle ;;
    --bundle=* | -bundle=* | -b=*) bundle=${word#*=} ;;
    -f | --config) skip=config ;;
    --config=* | -f=*) config=${word#*=} ;;
    -b?*) bundle=${word#-b} ;;
    --) break ;;
    esac
  fi
done
[ -n "$command" ] || exec "$real" "$@"

private() {
  unshare=/usr/bin/unshare
  [ -x "$unshare" ] || unshare=unshare
  exec "$unshare" -m --propagation slave -- /bin/sh "$self" --veneer-private "$real" "$program" "$name" \
    "$root" "$run" "$settings" "$@"
}

# A checkpoint is of what runs: where that is on a base, its root is shown at its path, as runtimes expect.
if [ "$command" = checkpoint ]; then
  said=''
  [ ! -x "$program" ] || ask --on-base -- "$@" 2>/dev/null
  [ "$said" != yes ] || private "$@"
  exec "$real" "$@"
fi

case $config in
'') config=${bundle:-.}/config.json ;;
/*) ;;
*) config=${bundle:-.}/$config ;;
esac
# The container's own environment names a base only where the configuration says what it may name.
variable='"run.veneer.'
case $settled in
*environment*) variable='"VENEER_' ;;
esac
found=$(PATH=/usr/bin:/bin:$PATH LC_ALL=C exec grep -oF -e '"run.veneer.' -e "$variable" -e 'shared"' -- "$config" 2>/dev/null)
case $found in
*run.veneer.* | *VENEER_*) ;;
*) exec "$real" "$@" ;;
esac
[ -x "$program" ] || fail "the program veneer is not beside this script; hint: install both into one directory"
case $found in
*shared*)
  # mounts of the container shall be seen on the host: no private namespace
  prepare host "$@"
  exec "$real" "$@"
  ;;
esac
private "$@"
