/**
 * Whiteouts and opaque directories (overlayfs.rst, "Whiteouts and opaque directories"). Paths are those of an entry
 * itself: their last component may be a symbolic link, which is not followed.
 */
import { VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { mknodat } from "../sys/fd.ts";
import { S_IFCHR, S_IFREG } from "../sys/flags.ts";
import { isType, lgetxattr, type Stat, setxattr } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { overlayXattr } from "./xattrs.ts";

const YES = new Uint8Array([0x79]); // "y"

/**
 * A 0/0 character device, or an empty file with an xattr (Linux 6.7). Look-ups heed the second form in every layer;
 * only listings want a mark on its directory as well, and otherwise show a name that cannot be opened.
 */
export function isWhiteout(stat: Stat, path: string): boolean {
  if (isType(stat, S_IFCHR)) return stat.rdevMajor === 0 && stat.rdevMinor === 0;
  return isType(stat, S_IFREG) && stat.size === 0 && lgetxattr(path, overlayXattr("whiteout")) !== undefined;
}

/** Makes the first form, which every kernel has. Throws EEXIST where the name is taken. */
export function makeWhiteout(dir: number, name: string): void {
  mknodat(dir, name, S_IFCHR, 0);
}

/** Whether a directory hides what layers below have under its name. */
export function isOpaque(path: string): boolean {
  return lgetxattr(path, overlayXattr("opaque"))?.[0] === YES[0];
}

/** Throws NO_XATTR where the file system cannot keep the mark: an overlay on it could replace no directory. */
export function markOpaque(path: string): void {
  const name = overlayXattr("opaque");
  try {
    setxattr(path, name, YES);
  } catch (cause) {
    if (!isErrno(cause, "EOPNOTSUPP")) throw cause;
    throw new VeneerError("NO_XATTR", `its file system keeps no ${name}`, {
      cause,
      hint: inUserNamespace()
        ? "in memory (tmpfs) a user without root needs Linux 6.6 or later for it: leave out --tmpfs, and keep the store on ext4, xfs or btrfs"
        : "put the store on ext4, xfs or btrfs",
    });
  }
}

/** Tells overlayfs that a directory of an upper has files which come from other layers: it looks their inode numbers up. */
export function markImpure(path: string): void {
  setxattr(path, overlayXattr("impure"), YES);
}
