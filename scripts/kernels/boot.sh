#!/bin/bash
# boot.sh KERNEL-DIRECTORY RESULT: boots the guest with that kernel and runs the selected tests in it. The console goes
# to RESULT with the ending .log, vitest's report to RESULT. Nothing that the guest writes stays but that.
set -euo pipefail
kernel=$1 result=$2
disk=$(mktemp -d "$STATE/run-XXXXXX")
trap 'rm -rf "$disk"' EXIT

# the project as the guest needs it: programs, tests, vitest and the Node.js that runs this
tree=$disk/tree
mkdir -p "$tree/node_modules" "$tree/bin"
programs=$PROJECT/dist
[ "$ARCH" = amd64 ] || programs+=/$ARCH
mkdir "$tree/dist"
cp -a "$programs"/veneer* "$tree/dist/"
cp -r "$PROJECT"/{src,test,hooks,schemas,package.json,tsconfig.json,vitest.config.ts} "$tree/"
[ -n "$SCRIPT" ] || (cd "$PROJECT/node_modules" && tar c --exclude=./@oven --exclude=./@biomejs --exclude='./@typescript' --exclude=./typescript --exclude=./bun-types .) |
  tar x -C "$tree/node_modules"
if [ "$ARCH" = amd64 ]; then cp "$(readlink -f "$(command -v node)")" "$tree/bin/node"; fi
cp "$STATE/selection" "$tree/selection"
install -m755 "$PROJECT/scripts/kernels/guest-init.sh" "$tree/guest-init"
install -m755 "${SCRIPT:-$PROJECT/scripts/kernels/run-tests.sh}" "$tree/run-tests"
mke2fs -q -t ext4 -d "$tree" "$disk/project.img" 2G
truncate -s 64M "$disk/out.img"

# no_timer_check: on a busy machine the timer of the guest comes late, and the kernel would panic
case $ARCH in
  amd64) qemu=(qemu-system-x86_64 -machine pc) console=ttyS0 ;;
  arm64) qemu=(qemu-system-aarch64 -machine virt,gic-version=3) console=ttyAMA0 ;;
esac
append="console=$console panic=-1 quiet loglevel=4 mitigations=off no_timer_check cgroup=$CGROUP propagation=$PROPAGATION"
if [ -n "$SYSTEMD" ]; then
  append+=" init=systemd systemd.getty_auto=no"
  case $CGROUP in
    v2) append+=" systemd.unified_cgroup_hierarchy=1" ;;
    v1) append+=" systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1" ;;
    hybrid) append+=" systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0" ;;
  esac
fi
[ -z "$SHELL_ONLY" ] || append+=" veneer.shell"
[ -z "$APPARMOR" ] && append+=" apparmor=0 selinux=0" || append+=" apparmor=1 security=apparmor"
append+=" $APPEND"
drive() { printf -- '-drive\nfile=%s,if=virtio,format=raw%s\n' "$1" "$2"; }
mapfile -t drives < <(
  drive "$STATE/root$([ "$ARCH" = amd64 ] || echo "-$ARCH").img" ,snapshot=on
  drive "$kernel/modules.img" ,readonly=on
  drive "$disk/project.img" ,snapshot=on
  drive "$disk/out.img" ""
)
log=${result%.json}.log
echo "test:kernels: Linux $(basename "$kernel"), control groups $CGROUP${APPARMOR:+, AppArmor}${SYSTEMD:+, systemd}, / $PROPAGATION, CPU $GUEST_CPU" >&2
start=$SECONDS
qemu+=(-accel tcg -cpu "$GUEST_CPU" -smp "$GUEST_SMP" -m "$GUEST_MEMORY" -nographic -no-reboot -nodefaults
  -serial stdio -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd" -append "$append" "${drives[@]}")
if [ -n "$SHELL_ONLY" ]; then exec "${qemu[@]}"; fi
timeout "${VENEER_KERNELS_LIMIT:-3600}" "${qemu[@]}" >"$log" 2>&1 </dev/null || true
if [ -n "$SCRIPT" ]; then
  sed -n '/^guest: /,$p' "$log"
  grep -q '^guest: status 0' "$log"
  exit
fi
tar x -f "$disk/out.img" -O results.json >"$result" 2>/dev/null || {
  echo "test:kernels: no result from Linux $(basename "$kernel"); the end of $log:" >&2
  tail -30 "$log" >&2
  rm -f "$result"
  exit 1
}
tar x -f "$disk/out.img" -O dmesg >"${result%.json}.dmesg"
leaks=$(tar x -f "$disk/out.img" -O leaks)
echo "test:kernels: Linux $(basename "$kernel"): $((SECONDS - start)) s; the console is in $log" >&2
[ -z "$leaks" ] || { printf 'test:kernels: left mounted in the guest:\n%s\n' "$leaks" >&2; exit 1; }
