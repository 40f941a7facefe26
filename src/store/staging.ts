/** Staging directories: things are built there, then published by rename. */
import { type Fd, flock, mkdirat, openDirectoryMaybe, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB } from "../sys/flags.ts";
import { fstat, lstatMaybe } from "../sys/stat.ts";
import { paths, type Store } from "./paths.ts";
import { moveToTrash, removeTree } from "./trash.ts";

export interface Staging extends Disposable {
  readonly path: string;
  /** Passes the lock on to the caller, for what has been published; it lasts until the descriptor is closed. */
  takeLock(): Fd;
}

/**
 * Creates an empty directory, mode 0700, on the store's file system. It is locked as long as its creator lives, and
 * `gc` removes only those that nobody has locked. When the scope ends, whatever is still in it is removed; what was
 * renamed away stays.
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

/** Locks a staging directory for removal; undefined when it is gone, or its creator or another remover holds it. */
export function holdStaging(path: string): Fd | undefined {
  const fd = openDirectoryMaybe(path);
  if (!fd) return undefined;
  const locked = flock(fd.number, LOCK_EX | LOCK_NB, path);
  // before we got the lock, `gc` may have removed it as a leftover
  if (locked && lstatMaybe(path)?.ino === fstat(fd.number).ino) return fd;
  fd[Symbol.dispose]();
  return undefined;
}
