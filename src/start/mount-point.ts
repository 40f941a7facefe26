/** Mount points of ours below RUN. */
import { VeneerError } from "../errors.ts";
import type { FsIds } from "../sys/credentials.ts";
import { withFsIds } from "../sys/credentials.ts";
import { isErrno } from "../sys/errno.ts";
import { fchmodat, fchownat, mkdirMaybe, mkdirs, openDirectory, rmdirQuietly } from "../sys/fd.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../sys/flags.ts";
import { stat } from "../sys/stat.ts";

/** Makes a mount point that root alone reaches. Idempotent. */
export function makeMountPoint(path: string): void {
  mkdirs(path, 0o700);
}

/**
 * Makes RUN/mapped/KEY/root, which the root of a user namespace must reach, for a runtime looks at it from inside:
 * it and the host's root alone, since set-user-ID files on that mount are of its id. What else is in RUN stays
 * closed, each directory for itself. Throws where a directory above RUN does not let it pass.
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

/** Whether the directories above a directory let a user without capabilities and further groups pass to it. */
export function isReached(directory: string, user: FsIds): boolean {
  try {
    withFsIds(user, () => openDirectory(directory)[Symbol.dispose](), { privileged: false });
    return true;
  } catch (error) {
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}

/** Removes what {@link makeMountPoint} or {@link makeMappedPoint} made, when it is empty. Idempotent. */
export function removeMountPoint(path: string, mapped: boolean): void {
  rmdirQuietly(path);
  if (mapped) rmdirQuietly(parent(path));
}

/** Lets everybody pass through a directory, but not list it. */
export function letPass(directory: string): void {
  const mode = stat(directory).mode & 0o7777;
  if ((mode & 0o111) !== 0o111) fchmodat(AT_FDCWD, directory, mode | 0o111);
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
