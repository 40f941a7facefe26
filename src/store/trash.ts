/** Removes trees that a container has written to: by descriptor, never through a symbolic link. */

import { errno, isErrno } from "../sys/errno.ts";
import { openatMaybe, rename, rmdir, tryUnlink, uniqueSuffix, unlink } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../sys/flags.ts";
import { listFd } from "../sys/stat.ts";
import { paths, type Store } from "./paths.ts";

/**
 * Removes a tree of at most `budget` entries. Returns the rest of the budget; negative when it did not suffice and part
 * of the tree remains. Another process may be removing the same tree.
 */
export function removeTree(path: string, budget = Number.POSITIVE_INFINITY, dir = AT_FDCWD): number {
  using fd = openatMaybe(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd) return budget;
  let left = removeContents(fd.number, path, budget);
  if (left < 0) return left;
  try {
    rmdir(path, dir);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  return --left;
}

function removeContents(dir: number, name: string, budget: number): number {
  let left = budget;
  // one name more than the budget suffices to see that it is exceeded, however large the directory is
  for (const entry of listFd(dir, name, budget + 1)) {
    if (--left < 0) return left;
    const result = tryUnlink(entry, dir);
    if (result === 0 || result === -(errno.ENOENT as number)) continue;
    if (result === -(errno.EISDIR as number)) left = removeTree(entry, left, dir);
    else unlink(entry, dir);
    if (left < 0) return left;
  }
  return left;
}

/**
 * Moves a directory to the trash, atomically whatever its size. Returns its new path; undefined where it does not
 * exist. Nothing uses what is in the trash, and any process may delete it.
 */
export function moveToTrash(store: Store, path: string): string | undefined {
  const target = `${paths.trash(store)}/${uniqueSuffix()}`;
  try {
    rename(path, target);
    return target;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
