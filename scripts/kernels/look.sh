#!/bin/bash
# A quick look at a kernel, in the guest: `npm run test:kernels -- --script scripts/kernels/look.sh VERSION`. One line for
# each thing that is tried, with what it said; status 1 when one of them failed.
export PATH=/veneer/dist:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
veneer=/veneer/dist/veneer failed=0

try() { # NAME WANTED COMMAND...: WANTED is what its output holds, a pattern of the shell
  local name=$1 wanted=$2 output status
  shift 2
  output=$(timeout 300 "$@" 2>&1 </dev/null)
  status=$?
  if [ $status -eq 0 ] && [[ $output == *$wanted* ]]; then echo "look: ok $name: $(tr '\n' '|' <<<"${output:0:200}")"; return; fi
  echo "look: FAILED $name: status $status: $(tr '\n' '|' <<<"${output:0:600}")"
  failed=1
}
refused() { # NAME WANTED COMMAND...: what this kernel cannot do; the error holds WANTED
  local name=$1 wanted=$2 output
  shift 2
  if output=$(timeout 300 "$@" 2>&1 </dev/null) || [[ $output != *$wanted* ]]; then
    echo "look: FAILED $name is not refused: ${output:0:600}"
    failed=1
  else echo "look: ok $name is refused: ${output:0:400}"; fi
}
mounts() { cut -d' ' -f4,5 /proc/self/mountinfo; }

echo "look: Linux $(uname -r), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2), / is $(findmnt -no PROPAGATION /)"
mounts >/run/before
tree=/srv/tree
mkdir -p $tree/{bin,dev,etc,proc,root,run,sys,tmp,usr/bin,var/lib}
cp /bin/busybox $tree/bin/
for applet in sh cat ls mv sleep stat touch; do ln -s busybox $tree/bin/$applet; done
echo first >$tree/etc/version
echo root:x:0:0::/root:/bin/sh >$tree/etc/passwd
touch $tree/etc/os-release

try version "veneer " veneer --version
try doctor "" sh -c 'veneer doctor >/run/doctor'
grep -E '^  [-~?] ' /run/doctor | sed 's/^/look: doctor: /'
try "base import" b@1 veneer base import b $tree
try "base edit" b@2 veneer base edit b -- sh -c 'echo second >/etc/version'
for runtime in runc crun; do
  try "run with $runtime" second veneer run b --runtime $runtime -- sh -c 'cat /etc/version; touch /own'
done
try "run, upper in memory" second veneer run b --tmpfs 8m -- cat /etc/version
map="--uidmap 0:100000:65536"
try "run, user namespace" 0 veneer run b $map -- sh -c 'stat -c %u /etc/version; touch /own'
if grep -q 'ok  idmapped tmpfs' /run/doctor; then expect=try; else expect=refused; fi
$expect "run, user namespace, upper in memory" "$([ $expect = try ] && echo 0 || echo "needs Linux 6.3")" \
  veneer run b $map --tmpfs 8m -- sh -c 'stat -c %u /etc/version; touch /own'

bundle() { # DIRECTORY JQ-PROGRAM
  mkdir -p "$1/rootfs"
  (cd "$1" && runc spec)
  jq ".process.terminal = false | .process.args = [\"/bin/cat\", \"/etc/version\"] | del(.process.rlimits) | $2" "$1/config.json" >"$1/new"
  mv "$1/new" "$1/config.json"
}
hook="[{path: \"$veneer\", args: [\"veneer\", \"hook\", \"oci\", \"--base\", \"b\"]}]"
bundle /srv/wrapped '.annotations["run.veneer.base"] = "b"'
bundle /srv/hooked ".hooks = {createRuntime: $hook, poststop: $hook}"
for runtime in runc crun; do
  try "veneer-$runtime" second veneer-$runtime run -b /srv/wrapped wrapped-$runtime
  try "OCI hook with $runtime" second $runtime run -b /srv/hooked hooked-$runtime
done

container() { # NAME LINE...
  local directory=/var/lib/lxc/$1
  shift
  mkdir -p $directory/rootfs
  chmod 770 $directory
  printf '%s\n' "lxc.rootfs.path = dir:$directory/rootfs" "lxc.net.0.type = empty" "lxc.mount.auto = proc" \
    "lxc.hook.version = 1" "lxc.hook.post-stop = $veneer hook lxc" "$@" >$directory/config
}
container plain "lxc.hook.pre-mount = $veneer hook lxc --base b"
container mapped "lxc.idmap = u 0 100000 65536" "lxc.idmap = g 0 100000 65536" \
  "lxc.hook.pre-start = $veneer hook lxc --base b" "lxc.hook.start-host = $veneer hook lxc"
chown 100000 /var/lib/lxc/mapped
try LXC "0 second" lxc-execute -n plain -- /bin/sh -c 'echo $(stat -c %u /etc/version) $(cat /etc/version)'
try "LXC, lxc.idmap" "0 second" lxc-execute -n mapped -- /bin/sh -c 'echo $(stat -c %u /etc/version) $(cat /etc/version)'

try create web1 veneer create web1 b@1
veneer run b@1 --name web1 -- sh -c 'while :; do cat /etc/version >/new; mv /new /seen; sleep 1; done' >/dev/null 2>&1 &
# a container that is being started has a record before it has a process
until pid=$(veneer ps --json | jq -e '.[0].pid'); do sleep 0.5; done
# the guest is slow: a container may stand still for longer than usual
try "live rebase" "" veneer rebase web1 b@2 --pause-limit 60000
for _ in {1..100}; do grep -q second "/proc/$pid/root/seen" && break; sleep 0.2; done
try "live rebase, what the container sees" second cat "/proc/$pid/root/seen"
try diff "A /seen" veneer diff web1
kill -9 "$pid"
wait
try gc "" veneer gc
mounts >/run/after
try "nothing is left mounted" "" diff /run/before /run/after
dmesg | grep -E 'overlayfs: |apparmor="DENIED"' | tail -5 | sed 's/^/look: dmesg: /'
exit $failed
