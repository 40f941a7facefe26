/** Opening files of trees that others have made. */

import { isErrno } from "../errno.ts";
import { type Fd, openat, openat2 } from "../fd.ts";
import { AT_FDCWD, O_NOFOLLOW, O_PATH, O_RDONLY, RESOLVE_EXACT, S_IFREG } from "../flags.ts";
import { fstat, isType } from "../stat.ts";

/**
 * A regular file, for reading; undefined for all else. What stands there is looked at before it is opened: to open a
 * device acts on the host's, whoever made the node (a watchdog starts to count), and a FIFO waits.
 */
export function openRegular(dir: number, path: string, resolve = RESOLVE_EXACT): Fd | undefined {
  using place = openat2(dir, path, O_PATH | O_NOFOLLOW, resolve);
  return isType(fstat(place.number), S_IFREG) ? openat(AT_FDCWD, place.path, O_RDONLY) : undefined;
}

/** Like {@link openRegular}, but undefined where nothing is, or a symbolic link that leads nowhere. The last part may be a link. */
export function openRegularMaybe(dir: number, path: string, resolve: number): Fd | undefined {
  try {
    using place = openat2(dir, path, O_PATH, resolve);
    return isType(fstat(place.number), S_IFREG) ? openat(AT_FDCWD, place.path, O_RDONLY) : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}
