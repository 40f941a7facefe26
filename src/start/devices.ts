/** The devices of a container whose config.json mounts nothing on /dev: the runtime creates them in the root itself. */
import {
  type Fd,
  fchmodat,
  fchownat,
  mknodat,
  openBelowMaybe,
  readlink,
  symlink,
  unlinkQuietly,
} from "../sys/fd.ts";
import { AT_SYMLINK_NOFOLLOW, O_RDONLY, S_IFBLK, S_IFCHR, S_IFLNK, S_IFMT } from "../sys/flags.ts";
import { listFd, lstatMaybe, type Stat } from "../sys/stat.ts";
import { openMountPoint } from "./open-mount-point.ts";

/** Recreates the devices and links of /dev in `from` in `to`, where they replace entries of the base or upper. */
export function copyDevices(from: Fd, to: Fd): void {
  using source = openBelowMaybe(from.number, "dev", O_RDONLY);
  if (!source) return;
  using target = openMountPoint(to, "dev", "directory", false);
  for (const name of listFd(source.number, "dev")) {
    const status = lstatMaybe(name, source.number);
    if (status) copyDevice(name, status, source, target);
  }
}

function copyDevice(name: string, status: Stat, source: Fd, target: Fd): void {
  const type = status.mode & S_IFMT;
  if (type === S_IFLNK) {
    unlinkQuietly(name, target.number);
    symlink(readlink(name, source.number) ?? "", name, target.number);
  } else if (type === S_IFCHR || type === S_IFBLK) {
    unlinkQuietly(name, target.number);
    mknodat(target.number, name, type, deviceNumber(status.rdevMajor, status.rdevMinor));
    fchownat(target.number, name, status.uid, status.gid, AT_SYMLINK_NOFOLLOW);
    fchmodat(target.number, name, status.mode & 0o7777);
  }
}

/** The encoding of device numbers in system calls (linux/kdev_t.h, new_encode_dev). */
function deviceNumber(major: number, minor: number): number {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
}
