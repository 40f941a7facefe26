/** A directory that is made anew in the place of another gets what that one has. */
import { isOverlayXattr } from "../overlay/xattrs.ts";
import { fchmodat, fchownat } from "../sys/fd.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../sys/flags.ts";
import { lgetxattr, listxattr, lremovexattr, setTime, setxattr, stat } from "../sys/stat.ts";

/**
 * Gives the directory `to` the owner, mode, extended attributes and time of the directory `from`, and takes from it
 * what that one does not have: a default ACL may have been inherited. Overlayfs's own attributes stay as they are, save
 * those of `from` for which `isCopied`. Nothing may be made in `to` afterwards: its time would change.
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
  // the owner first: chown(2) clears set-user-ID and set-group-ID bits
  fchownat(AT_FDCWD, to, uid, gid, AT_SYMLINK_NOFOLLOW);
  fchmodat(AT_FDCWD, to, mode & 0o7777);
  setTime(to, mtime);
}
