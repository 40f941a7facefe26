/** A small root file system that runs: busybox and what a base needs. */
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const APPLETS =
  "sh basename ls cat mount umount true false sleep id touch echo mkdir rmdir rm stat ps kill ln chmod chown env head tail wc grep sed find test dd tty stty readlink mv cp seq date sync printf reboot setsid httpd wget nc";

/** Makes a tree at `dir`, which must not exist: /bin from busybox, /etc, a full /tmp and /root, the usual links. */
export function makeTree(dir: string): string {
  for (const path of [
    "bin",
    "dev",
    "etc",
    "home",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "var/lib",
  ]) {
    mkdirSync(join(dir, path), { recursive: true });
  }
  copyFileSync("/bin/busybox", join(dir, "bin/busybox"));
  chmodSync(join(dir, "bin/busybox"), 0o755);
  for (const name of APPLETS.split(" ")) symlinkSync("busybox", join(dir, "bin", name));
  chmodSync(join(dir, "tmp"), 0o1777);
  chmodSync(join(dir, "root"), 0o700);
  writeFileSync(join(dir, "tmp/of-the-base"), "not for containers\n");
  writeFileSync(join(dir, "root/of-the-base"), "not for containers\n");
  writeFileSync(join(dir, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n");
  writeFileSync(join(dir, "etc/group"), "root:x:0:\nuser:x:1000:\n");
  writeFileSync(join(dir, "etc/os-release"), "ID=veneer-test\n");
  symlinkSync("../run/resolvconf/resolv.conf", join(dir, "etc/resolv.conf"));
  symlinkSync("/run", join(dir, "var/run"));
  return dir;
}
