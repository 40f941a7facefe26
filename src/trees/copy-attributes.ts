/** Copies the attributes of a directory to a new one that takes its place. */
import { isOverlayXattr } from "../overlay/xattrs.ts";
import { fchmodat, fchownat } from "../sys/fd.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../sys/flags.ts";
import { lgetxattr, listxattr, lremovexattr, setTime, setxattr, stat } from "../sys/stat.ts";

/**
 * Gives the directory `to` the owner, mode, extended attributes and modification time of the directory `from`, and
 * removes extended attributes that `from` does not have, such as an inherited default ACL. Of the attributes of
 * overlayfs it copies only those for which `isCopied`, and removes none. Create nothing in `to` afterwards, as that
 * changes its time. Throws SysError.
 */
export function copyAttributes(
  from: string,
  to: string,
  isCopied: (name: string) => boolean = (name) => !isOverlayXattr(name),
): void {
  const { mode, uid, gid, mtime } = stat(from);
  const names = listxattr(from);
  for (const name of listxattr(to)) {
    if (!names.includes(name) && !isOverlayXattr(name)) lremovexattr(to, name);
  }
  for (const name of names) {
    const value = isCopied(name) ? lgetxattr(from, name) : undefined;
    if (value) setxattr(to, name, value);
  }
  // the owner first, because chown(2) clears set-user-ID and set-group-ID bits
  fchownat(AT_FDCWD, to, uid, gid, AT_SYMLINK_NOFOLLOW);
  fchmodat(AT_FDCWD, to, mode & 0o7777);
  setTime(to, mtime);
}
