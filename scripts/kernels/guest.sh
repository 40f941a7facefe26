#!/bin/bash
# guest.sh VERSION…: makes what is missing of the guest for $ARCH: Debian 12's root with the engines (root.img), and for each
# kernel its packages unpacked, an image of its modules and an initramfs. Debian's mirror is that of the machine's own
# apt sources.
set -euo pipefail
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian$') ||
  { echo "test:kernels: apt's sources name no Debian mirror" >&2; exit 1; }
packages=(acl attr btrfs-progs busybox-static ca-certificates dbus e2fsprogs iproute2 jq kmod libcap2-bin procps runc strace
  systemd systemd-container systemd-sysv uidmap util-linux xfsprogs xz-utils zstd)
# configured by scripts that need what is above
engines=(apparmor crun docker.io gcc iptables libc6-dev lxc podman python3-minimal skopeo umoci)

need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null || apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$2" >&2
}
case $ARCH in
  amd64) need qemu-system-x86_64 qemu-system-x86 ;;
  arm64) need qemu-system-aarch64 qemu-system-arm ;;
esac
need debootstrap debootstrap
need mke2fs e2fsprogs
need cpio cpio
need depmod kmod

# The root file system, made by a function that fills the directory it is given.
make_root() { # IMAGE SIZE PACKAGES FUNCTION
  [ ! -e "$STATE/$1.img" ] || [ "$(cat "$STATE/$1.packages" 2>/dev/null || true)" != "$3" ] || return 0
  echo "test:kernels: making the guest for $ARCH in $STATE (some minutes, once)" >&2
  rm -rf "$root"
  "$4"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  printf 'root:100000:65536\nalice:200000:65536\n' | tee "$root/etc/subuid" >"$root/etc/subgid"
  mkdir -p "$root"/{veneer,out} "$root/lib/modules" "$root/usr/local/bin"
  mke2fs -q -t ext4 -d "$root" "$STATE/$1.part" "$2"
  mv "$STATE/$1.part" "$STATE/$1.img"
  echo "$3" >"$STATE/$1.packages"
}

list=$(IFS=,; echo "${packages[*]}")
bootstrap() {
  debootstrap --variant=minbase --include="$list" bookworm "$root" "$mirror" >"$STATE/debootstrap.log"
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends "${engines[@]}" >>"$STATE/debootstrap.log"
}

# Packages for another machine are unpacked and not configured: no script of theirs runs here.
foreign=(busybox-static crun iproute2 jq kmod lxc mawk procps runc util-linux)
unpack_foreign() {
  local deb
  debootstrap --foreign --arch="$ARCH" --variant=minbase --include="$(IFS=,; echo "${foreign[*]}")" bookworm "$root" "$mirror" >"$STATE/debootstrap.log"
  for deb in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$deb" "$root"; done
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  ln -sf mawk "$root/usr/bin/awk"
}

root=$STATE/rootfs
case $ARCH in
  amd64) make_root root 4G "$list ${engines[*]}" bootstrap ;;
  arm64)
    root=$STATE/rootfs-$ARCH
    make_root "root-$ARCH" 2G "${foreign[*]}" unpack_foreign
    ;;
esac

# An apt of our own: the machine's sources stay as they are.
apt=$STATE/apt-$ARCH
own_apt() { APT_CONFIG=$apt/apt.conf "$@" </dev/null 8>&-; }
update() {
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d}
  # a mirror's copy of unstable may be some days old
  local option="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no"
  for suite in bullseye bookworm bookworm-backports trixie trixie-backports sid; do
    echo "deb [$option] $mirror $suite main"
  done >"$apt/etc/sources.list"
  : >"$apt/status"
  cat >"$apt/apt.part" <<CONF
APT::Architecture "$ARCH";
APT::Architectures { "$ARCH"; };
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc "$apt/etc";
Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";
Acquire::Languages "none";
CONF
  APT_CONFIG=$apt/apt.part apt-get -q update >&2
  mv "$apt/apt.part" "$apt/apt.conf"
}

# The newest kernel whose version begins so.
newest() { # VERSION
  own_apt apt-cache search --names-only "^linux-(image|binary)-${1//./\\.}([.][.0-9]+)?[+-].*cloud-$ARCH\$" |
    cut -d' ' -f1 | sed -E 's/^linux-(image|binary)-//' | sort -Vu | tail -1
}

unpack() { # VERSION
  local version package packages to=$STATE/kernels
  version=$(newest "$1")
  [ -n "$version" ] || { echo "test:kernels: Debian has no kernel $1" >&2; exit 1; }
  [ ! -e "$to/$version/vmlinuz" ] || return 0
  echo "test:kernels: Linux $version" >&2
  rm -rf "$to/part"
  mkdir -p "$to/part/debs"
  # up to 6.18 all is in linux-image, later in the two others
  packages=()
  for package in linux-{image,base,binary,modules}-"$version"; do
    if own_apt apt-cache policy "$package" | grep 'Candidate: [^(]' >/dev/null; then packages+=("$package"); fi
  done
  (cd "$to/part/debs" && own_apt apt-get -q download "${packages[@]}" >&2)
  for deb in "$to"/part/debs/*.deb; do dpkg-deb -x "$deb" "$to/part"; done
  rm -r "$to/part/debs"
  mv "$(find "$to/part" -name "vmlinuz*" -type f | head -1)" "$to/part/vmlinuz"
  make_images "$to/part" "$version"
  mv "$to/part" "$to/$version"
}

make_images() { # DIRECTORY VERSION
  local dir=$1 version=$2 source tree=$1/tree stage=$1/stage part module name count=0
  source=$(dirname "$(find "$dir" -name modules.builtin | head -1)")
  mkdir -p "$tree/lib/modules/$version/kernel" "$stage"/{bin,dev,proc,newroot,modules}
  cp "$source"/modules.{builtin,builtin.modinfo,order} "$tree/lib/modules/$version/"
  for part in fs net crypto lib arch drivers/block drivers/virtio drivers/char drivers/net/veth.ko drivers/net/tun.ko drivers/net/dummy.ko; do
    for module in "$source/kernel/$part"*; do
      [ -e "$module" ] || continue
      name=${module#"$source/"}
      mkdir -p "$tree/lib/modules/$version/$(dirname "$name")"
      cp -r "$module" "$tree/lib/modules/$version/$name"
    done
  done
  depmod -b "$tree" "$version"
  cp "$root/bin/busybox" "$stage/bin/"
  ln -s busybox "$stage/bin/sh"
  while read -r module; do
    count=$((count + 1))
    name=$(printf %02d-%s "$count" "$(basename "$module")")
    case $module in
      *.xz) xz -dc "$module" >"$stage/modules/${name%.xz}" ;;
      *.zst) zstd -qdc "$module" >"$stage/modules/${name%.zst}" ;;
      *) cp "$module" "$stage/modules/$name" ;;
    esac
  done < <(for module in virtio_pci virtio_blk ext4; do
    modprobe -d "$tree" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++')
  install -m755 "$PROJECT/scripts/kernels/initramfs-init.sh" "$stage/init"
  (cd "$stage" && find . | cpio -o -H newc --quiet | gzip -1) >"$dir/initrd"
  mke2fs -q -t ext4 -d "$tree/lib/modules/$version" "$dir/modules.img" 512M
  rm -r "$tree" "$stage" "${dir:?}"/{usr,lib,boot} 2>/dev/null || true
}

[ -e "$apt/apt.conf" ] && [ -z "$UPDATE" ] || update
for version in "$@"; do
  [ -z "$UPDATE" ] && bash "$PROJECT/scripts/kernels/find.sh" "$version" >/dev/null 2>&1 || unpack "$version"
done
