#!/bin/sh
# The initramfs: drivers of the disks, then the guest's root.
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
$busybox mount -t proc proc /proc
for module in /modules/*; do [ -e "$module" ] && $busybox insmod "$module"; done
count=0
while [ ! -b /dev/vdc ] && [ $count -lt 300 ]; do $busybox sleep 0.1; count=$((count + 1)); done
$busybox mount -t ext4 -o rw /dev/vda /newroot || $busybox poweroff -f
release=$($busybox uname -r)
$busybox mkdir -p "/newroot/lib/modules/$release"
$busybox mount -t ext4 -o ro /dev/vdb "/newroot/lib/modules/$release"
$busybox mount -t ext4 -o rw /dev/vdc /newroot/veneer
$busybox mount --move /dev /newroot/dev
$busybox umount /proc
exec $busybox switch_root /newroot /veneer/guest-init
