/** Opens files in trees that others have written to. */

import { ifStillThere } from "../errno.ts";
import { type Fd, openat, openat2 } from "../fd.ts";
import { AT_FDCWD, O_NOFOLLOW, O_PATH, O_RDONLY, RESOLVE_EXACT, S_IFREG } from "../flags.ts";
import { fstat, isType } from "../stat.ts";

/**
 * Opens a regular file for reading; undefined for any other type. Checks the type before it opens the file, because
 * opening a device node has effects on the host (a watchdog starts to count), and opening a FIFO blocks.
 */
export function openRegular(dir: number, path: string, resolve = RESOLVE_EXACT): Fd | undefined {
  using place = openat2(dir, path, O_PATH | O_NOFOLLOW, resolve);
  return isType(fstat(place.number), S_IFREG) ? openat(AT_FDCWD, place.path, O_RDONLY) : undefined;
}

/** Like {@link openRegular}, but follows a link in the last component, and undefined also where nothing is found. */
export function openRegularMaybe(dir: number, path: string, resolve: number): Fd | undefined {
  return ifStillThere(() => {
    using place = openat2(dir, path, O_PATH, resolve);
    return isType(fstat(place.number), S_IFREG) ? openat(AT_FDCWD, place.path, O_RDONLY) : undefined;
  });
}
