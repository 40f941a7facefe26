/** Adds whiteouts to an upper that a container has written to: by descriptor, never through a symbolic link. */

import { isErrno } from "../sys/errno.ts";
import {
  type Fd,
  fchmodat,
  fchownat,
  mkdirat,
  openBelowMaybe,
  openDirectory,
  rename,
  uniqueSuffix,
} from "../sys/fd.ts";
import { AT_SYMLINK_NOFOLLOW, RENAME_NOREPLACE } from "../sys/flags.ts";
import { fstat, setTime, setxattr } from "../sys/stat.ts";
import { isOpaque, makeWhiteout } from "./marks.ts";
import type { UpperEntry } from "./upper-entries.ts";

/**
 * Adds to an upper what `entries` (of a fresh upper) hide, unless the upper already hides or replaces it. Files that
 * the instance itself has under those names stay. Idempotent; after a kill, each entry is either complete or absent.
 * `staging` is an empty directory on the same file system. Calls `check` before each entry.
 */
export function hideMasked(
  upper: string,
  entries: readonly UpperEntry[],
  staging: string,
  check: () => void,
): void {
  using root = openDirectory(upper);
  using stagingDir = openDirectory(staging);
  const directories = new Map(
    entries.filter(({ kind }) => kind === "merged").map((entry) => [entry.path, entry]),
  );
  for (const { path, kind } of entries) {
    check();
    if (kind === "whiteout") hide(root, path, directories, stagingDir);
  }
}

function hide(root: Fd, path: string, directories: ReadonlyMap<string, UpperEntry>, stagingDir: Fd): void {
  const parts = path.split("/");
  const name = parts.pop() as string;
  for (let depth = 1; depth <= parts.length; depth++) {
    const parent = parts.slice(0, depth).join("/");
    if (!mergesOrMade(root, parent, directories.get(parent), stagingDir)) return;
  }
  using directory = openBelowMaybe(root.number, parts.join("/") || ".") as Fd;
  keepingTime(directory, () => unlessThere(() => makeWhiteout(directory.number, name)));
}

/** False where the upper has something at `path` other than a directory that merges with the base's. */
function mergesOrMade(root: Fd, path: string, made: UpperEntry | undefined, stagingDir: Fd): boolean {
  using found = openBelowMaybe(root.number, path);
  if (found) return !isOpaque(`${found.path}/.`);
  if (!made) return false;
  const slash = path.lastIndexOf("/");
  using parent = openBelowMaybe(root.number, path.slice(0, Math.max(slash, 0)) || ".");
  if (!parent) return false;
  const temporary = uniqueSuffix();
  makeDirectory(stagingDir, temporary, made);
  // anything else that the upper has under this name hides the base's directory
  return keepingTime(parent, () =>
    unlessThere(() =>
      rename(temporary, path.slice(slash + 1), RENAME_NOREPLACE, stagingDir.number, parent.number),
    ),
  );
}

/** Restores the directory's mtime: hiding something in it does not count as a change of it. */
function keepingTime<T>(directory: Fd, change: () => T): T {
  const { mtime } = fstat(directory.number);
  const result = change();
  setTime(`${directory.path}/.`, mtime);
  return result;
}

function makeDirectory(dir: Fd, name: string, { mode, uid, gid, mtime, xattrs }: UpperEntry): void {
  mkdirat(dir.number, name, 0o700);
  for (const [key, value] of xattrs ?? []) setxattr(`${dir.path}/${name}`, key, value);
  fchownat(dir.number, name, uid, gid, AT_SYMLINK_NOFOLLOW);
  fchmodat(dir.number, name, mode);
  if (mtime) setTime(name, mtime, dir.number);
}

function unlessThere(make: () => void): boolean {
  try {
    make();
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}
