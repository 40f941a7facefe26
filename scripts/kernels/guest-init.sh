#!/bin/bash
# Process 1 of the guest: a host as systemd leaves it (/ shared), with the control groups that the command line names;
# then the tests, or systemd, which runs them as a service.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
option() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" | tail -1; }
ln -sfn /proc/self/fd /dev/fd
echo "guest: $(uname -r), $(cut -d' ' -f1 /proc/uptime) s"
modprobe overlay
modprobe loop

if [ "$(option init)" = systemd ]; then
  cat >/etc/systemd/system/veneer-tests.service <<UNIT
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Delegate=yes
ExecStart=/bin/sh -c "/veneer/run-tests; echo guest: status \$\$?"
ExecStopPost=/bin/systemctl poweroff --force --force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/$(option console)
TimeoutStartSec=infinity
UNIT
  mkdir -p /etc/systemd/system/default.target.wants
  ln -sf ../veneer-tests.service /etc/systemd/system/default.target.wants/
  ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
  umount /sys /proc
  exec /lib/systemd/systemd
fi

mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock
mount -t securityfs securityfs /sys/kernel/security 2>/dev/null
mount --make-r"$(option propagation)" /
groups=/sys/fs/cgroup
if [ "$(option cgroup)" = v2 ]; then
  mount -t cgroup2 cgroup2 $groups
  for controller in $(cat $groups/cgroup.controllers); do echo "+$controller" >$groups/cgroup.subtree_control; done
else
  mount -t tmpfs -o mode=755 cgroup $groups
  for controller in $(awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups); do
    mkdir -p "$groups/$controller"
    mount -t cgroup -o "$controller" cgroup "$groups/$controller" || rmdir "$groups/$controller"
  done
  mkdir -p $groups/systemd
  mount -t cgroup -o none,name=systemd cgroup $groups/systemd
  if [ "$(option cgroup)" = hybrid ]; then
    mkdir -p $groups/unified
    mount -t cgroup2 cgroup2 $groups/unified
  fi
fi
hostname guest
ip link set lo up
if grep -q Y /sys/module/apparmor/parameters/enabled 2>/dev/null; then
  # what Debian's apparmor.service loads at boot
  for profile in /etc/apparmor.d/*; do [ -d "$profile" ] || apparmor_parser -r "$profile"; done
fi
if grep -q veneer.shell /proc/cmdline; then setsid -c bash -i <>"/dev/$(option console)" >&0 2>&0; else /veneer/run-tests; echo "guest: status $?"; fi
sync
mount -o remount,ro / 2>/dev/null
echo o >/proc/sysrq-trigger
sleep 30
