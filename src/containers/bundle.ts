/** Bundles that we make: config.json and an empty root, on which the overlay is mounted. */
import { VeneerError } from "../errors.ts";
import { letPass } from "../start/mount-point.ts";
import { paths, type Store } from "../store/paths.ts";
import { namesIn } from "../store/versions.ts";
import type { FsIds } from "../sys/credentials.ts";
import { isErrno } from "../sys/errno.ts";
import {
  createFile,
  type Fd,
  fchownat,
  flock,
  mkdirat,
  mkdirs,
  openatMaybe,
  rename,
  rmdirQuietly,
  uniqueSuffix,
  unlinkQuietly,
} from "../sys/fd.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  LOCK_EX,
  LOCK_NB,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RENAME_NOREPLACE,
} from "../sys/flags.ts";
import { fstat, lstatMaybe } from "../sys/stat.ts";

/** Name of the root's directory in a bundle. */
export const ROOTFS = "rootfs";

/**
 * Writes a bundle at `directory`, which appears whole, by rename. An empty directory may be there already.
 * Throws VeneerError where there is something else. `owner`: root of the container's user namespace, which must
 * reach the root, and as which a runtime makes mount points in it.
 */
export function writeBundle(directory: string, config: object, owner?: FsIds): void {
  const staging = `${directory}.${uniqueSuffix()}`;
  makeBundle(staging, config);
  if (owner) {
    letPass(staging);
    fchownat(AT_FDCWD, `${staging}/${ROOTFS}`, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
  }
  try {
    rename(staging, directory);
  } catch (error) {
    removeBundle(staging);
    if (isErrno(error, "ENOTEMPTY", "EEXIST", "ENOTDIR")) {
      throw new VeneerError("EXISTS", `${directory} exists and is not an empty directory`, {
        hint: "name another directory, or remove it",
      });
    }
    throw error;
  }
}

function makeBundle(directory: string, config: object): void {
  mkdirat(AT_FDCWD, directory, 0o700);
  mkdirat(AT_FDCWD, `${directory}/${ROOTFS}`, 0o755);
  createFile(`${directory}/config.json`, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
}

/** Where the runtime writes the pid of a container in the background. */
export const pidFile = (directory: string) => `${directory}/pid`;

/** Removes what {@link makeBundle} made and nothing else; a root with something in it stays. */
function removeBundle(directory: string): void {
  unlinkQuietly(`${directory}/config.json`);
  unlinkQuietly(pidFile(directory));
  rmdirQuietly(`${directory}/${ROOTFS}`);
  rmdirQuietly(directory);
}

/** A directory of RUN/bundles that belongs to the process that holds its lock. */
export interface Claim extends Disposable {
  readonly directory: string;
  readonly lock: Fd;
}

/**
 * Takes RUN/bundles/ID; undefined when another process has it. What a killed holder left is removed first by
 * `reclaim`, which throws when the container is still there. Disposal removes the bundle.
 */
export function claimBundle(
  store: Store,
  id: string,
  reclaim: (directory: string) => void,
): Claim | undefined {
  const directory = paths.bundle(store, id);
  mkdirs(paths.bundles(store), 0o700);
  for (let attempt = 0; attempt < 64; attempt++) {
    const lock = publishLocked(paths.bundle(store, `.${uniqueSuffix()}`), directory);
    if (lock) {
      return {
        directory,
        lock,
        [Symbol.dispose]() {
          removeBundle(directory);
          lock[Symbol.dispose]();
        },
      };
    }
    const stale = lockDirectory(directory);
    if (stale === "busy") return undefined;
    if (stale === "gone") continue;
    try {
      reclaim(directory);
      removeBundle(directory);
    } finally {
      stale[Symbol.dispose]();
    }
  }
  throw new VeneerError("BUSY", `${directory} cannot be taken`, { hint: "remove what is in it" });
}

/** Whether a process has the bundle: one that makes it, or waits for its container. */
export function isClaimed(store: Store, id: string): boolean {
  const lock = lockDirectory(paths.bundle(store, id));
  if (typeof lock === "string") return lock === "busy";
  lock[Symbol.dispose]();
  return false;
}

/** The ids of bundles, of containers that are gone too. */
export function bundleIds(store: Store): string[] {
  return namesIn(paths.bundles(store)).filter((id) => !id.startsWith("."));
}

/** Runs `action` with a file that goes with it, or with the next sweep where this process is killed. */
export function withScratchFile<T>(store: Store, text: string, action: (path: string) => T): T {
  const directory = paths.bundle(store, `.${uniqueSuffix()}`);
  mkdirat(AT_FDCWD, directory, 0o700);
  const lock = lockDirectory(directory);
  try {
    const path = `${directory}/config.json`;
    createFile(path, text, { mode: 0o600 });
    return action(path);
  } finally {
    removeBundle(directory);
    if (typeof lock !== "string") lock[Symbol.dispose]();
  }
}

/** Makes a directory that has its lock when it appears under its name; undefined when the name is taken. */
function publishLocked(staging: string, directory: string): Fd | undefined {
  mkdirat(AT_FDCWD, staging, 0o700);
  const lock = lockDirectory(staging);
  // a sweep was quicker and removes it
  if (typeof lock === "string") return undefined;
  try {
    rename(staging, directory, RENAME_NOREPLACE);
    return lock;
  } catch (error) {
    rmdirQuietly(staging);
    lock[Symbol.dispose]();
    if (isErrno(error, "EEXIST", "ENOENT")) return undefined;
    throw error;
  }
}

/** Fills a bundle that was claimed. `owner`: root of the container's user namespace, which must reach it. */
export function fillBundle(claim: Claim, config: object, owner?: FsIds): void {
  if (owner) {
    const bundles = claim.directory.slice(0, claim.directory.lastIndexOf("/"));
    for (const directory of [bundles.slice(0, bundles.lastIndexOf("/")), bundles]) letPass(directory);
    fchownat(AT_FDCWD, claim.directory, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
  }
  mkdirat(AT_FDCWD, `${claim.directory}/${ROOTFS}`, 0o755);
  createFile(`${claim.directory}/config.json`, `${JSON.stringify(config)}\n`);
}

/**
 * Looks at the bundles whose holders are gone, each with its lock held meanwhile; those for which `visit` returns
 * true are removed. Returns their directories. An id that begins with a dot is that of a bundle before it had its name.
 */
export function sweepBundles(store: Store, visit: (id: string, directory: string) => boolean): string[] {
  const removed: string[] = [];
  for (const id of namesIn(paths.bundles(store))) {
    const directory = paths.bundle(store, id);
    const lock = lockDirectory(directory);
    if (typeof lock === "string") continue;
    using _lock = lock;
    if (!visit(id, directory)) continue;
    removeBundle(directory);
    removed.push(directory);
  }
  return removed;
}

/** The lock; the directory that was opened may have been removed and made anew by another meanwhile. */
function lockDirectory(directory: string): Fd | "busy" | "gone" {
  const fd = openatMaybe(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd) return "gone";
  if (!flock(fd.number, LOCK_EX | LOCK_NB, directory)) {
    fd[Symbol.dispose]();
    return "busy";
  }
  if (lstatMaybe(directory)?.ino === fstat(fd.number).ino) return fd;
  fd[Symbol.dispose]();
  return "gone";
}
