/** Directories in which something is made before it is published by rename. */
import { type Fd, flock, mkdirat, openDirectoryMaybe, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB } from "../sys/flags.ts";
import { fstat, lstatMaybe } from "../sys/stat.ts";
import { paths, type Store } from "./paths.ts";
import { moveToTrash, removeTree } from "./trash.ts";

export interface Staging extends Disposable {
  readonly path: string;
  /** Hands over the lock of what has been published: it lasts until the descriptor is closed. */
  takeLock(): Fd;
}

/**
 * An empty directory, 0700, on the store's file system, locked while its maker lives: `gc` takes only those
 * that nobody holds. What is in it when the scope ends is removed; what has been renamed away is not.
 */
export function makeStaging(store: Store): Staging {
  for (;;) {
    const path = `${paths.staging(store)}/${uniqueSuffix()}`;
    mkdirat(AT_FDCWD, path, 0o700);
    const fd = holdStaging(path);
    if (!fd) continue;
    let taken = false;
    return {
      path,
      takeLock() {
        taken = true;
        return fd;
      },
      [Symbol.dispose]() {
        const trash = moveToTrash(store, path);
        if (!taken) fd[Symbol.dispose]();
        if (trash !== undefined) removeTree(trash);
      },
    };
  }
}

/** Takes a staging directory; undefined when its maker, or another who removes it, holds it or it is gone. */
export function holdStaging(path: string): Fd | undefined {
  const fd = openDirectoryMaybe(path);
  if (!fd) return undefined;
  const locked = flock(fd.number, LOCK_EX | LOCK_NB, path);
  // between its making and the lock, `gc` may have taken it for a leftover
  if (locked && lstatMaybe(path)?.ino === fstat(fd.number).ino) return fd;
  fd[Symbol.dispose]();
  return undefined;
}
