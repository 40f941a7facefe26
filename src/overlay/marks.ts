/**
 * Whiteouts and opaque directories (overlayfs.rst, "Whiteouts and opaque directories"). If the last component of a path
 * is a symbolic link, it is not followed.
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
 * Whether an entry is a whiteout: a 0/0 character device, or an empty file with an xattr (Linux 6.7). Lookups recognize
 * the second form in every layer. Listings do so only if its directory is marked too; otherwise they show the name,
 * which cannot be opened.
 */
export function isWhiteout(stat: Stat, path: string): boolean {
  if (isType(stat, S_IFCHR)) return stat.rdevMajor === 0 && stat.rdevMinor === 0;
  return isType(stat, S_IFREG) && stat.size === 0 && lgetxattr(path, overlayXattr("whiteout")) !== undefined;
}

/** Creates a 0/0 character device, the form that every kernel supports. Throws EEXIST where the name is taken. */
export function makeWhiteout(dir: number, name: string): void {
  mknodat(dir, name, S_IFCHR, 0);
}

/** Whether a directory hides what lower layers have under its name. */
export function isOpaque(path: string): boolean {
  return lgetxattr(path, overlayXattr("opaque"))?.[0] === YES[0];
}

/** Makes a directory opaque. Throws NO_XATTR where the file system does not support the xattr. */
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

/** Tells overlayfs that an upper's directory holds copied-up files, so that it looks up their inode numbers. */
export function markImpure(path: string): void {
  setxattr(path, overlayXattr("impure"), YES);
}
