/** Mount points of ours below RUN. */
import { VeneerError } from "../errors.ts";
import type { FsIds } from "../sys/credentials.ts";
import { withFsIds } from "../sys/credentials.ts";
import { isErrno } from "../sys/errno.ts";
import { fchmodat, fchownat, mkdirMaybe, mkdirs, openDirectory, rmdirQuietly } from "../sys/fd.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../sys/flags.ts";
import { stat } from "../sys/stat.ts";

/** Creates a mount point that only root can reach. Idempotent. */
export function makeMountPoint(path: string): void {
  mkdirs(path, 0o700);
}

/**
 * Creates RUN/mapped/KEY/root for a container with a user namespace, whose root must be able to reach it, because the
 * runtime opens it from inside the namespace. Only that user and the host's root may: the mount holds set-user-ID files
 * of that user. Everything else in RUN stays closed by the modes of its directories. Throws when a directory above RUN
 * blocks the way.
 */
export function makeMappedPoint(path: string, owner: FsIds): void {
  const own = parent(path);
  const all = parent(own);
  const run = parent(all);
  mkdirs(all, 0o711);
  for (const directory of [run, all]) letPass(directory);
  mkdirMaybe(own, 0o700);
  fchownat(AT_FDCWD, own, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
  mkdirMaybe(path, 0o755);
  if (isReached(path, owner)) return;
  throw new VeneerError("UNREACHABLE", `root of the user namespace (uid ${owner.uid}) cannot reach ${path}`, {
    hint: `let others pass through the directories above ${run} (chmod o+x)`,
  });
}

/** Whether a user without capabilities and supplementary groups can reach a directory. */
export function isReached(directory: string, user: FsIds): boolean {
  try {
    withFsIds(user, () => openDirectory(directory)[Symbol.dispose](), { privileged: false });
    return true;
  } catch (error) {
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}

/** Removes the empty mount point that {@link makeMountPoint} or {@link makeMappedPoint} created. Idempotent. */
export function removeMountPoint(path: string, mapped: boolean): void {
  rmdirQuietly(path);
  if (mapped) rmdirQuietly(parent(path));
}

/** Lets everyone pass through a directory, but not list it. */
export function letPass(directory: string): void {
  const mode = stat(directory).mode & 0o7777;
  if ((mode & 0o111) !== 0o111) fchmodat(AT_FDCWD, directory, mode | 0o111);
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
