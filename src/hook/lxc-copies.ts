/**
 * Detects copies of containers that were made by engines which call no hook for it (LXD, Incus). Such a copy would
 * start on an empty instance of its own, without the changes of the original. The root directory is copied too, and it
 * carries the name of the container that first started on it.
 */
import { VeneerError } from "../errors.ts";
import type { RootRequest } from "../request/root-request.ts";
import { readInstance } from "../store/instances.ts";
import type { Store } from "../store/paths.ts";
import { errno } from "../sys/errno.ts";
import { openat } from "../sys/fd.ts";
import { fsetxattr } from "../sys/files/attributes.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { getxattr } from "../sys/stat.ts";
import { displayName } from "../text/names.ts";

/** Incus copies no attributes but user.* and security.capability (rsync --filter); LXD copies all. */
const MARK = "user.veneer.container";

/**
 * Throws for a copy whose instance does not exist yet; otherwise marks the root directory with the container's name.
 * The base covers this directory, so the container cannot see the mark.
 */
export function refuseCopiedRoot(
  store: Store,
  container: string,
  directory: string,
  { instance, base }: RootRequest,
): void {
  if (instance === undefined) return;
  using root = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const found = getxattr(root.path, MARK);
  const original = found && new TextDecoder().decode(found);
  if (original === container) return;
  if (original !== undefined && !readInstance(store, instance)) {
    const name = displayName(container);
    throw new VeneerError(
      "OTHER_CONTAINER",
      `container ${name} is a copy of ${displayName(original)}, but not what that wrote: it is in veneer's store`,
      {
        hint: `'veneer clone ${displayName(original).toLowerCase()} ${instance}' copies it, 'veneer create ${instance} ${base?.name ?? "BASE"}' begins anew`,
      },
    );
  }
  const result = fsetxattr(root.number, MARK, new TextEncoder().encode(container));
  // a file system without xattrs gets no mark
  if (result !== -(errno.EOPNOTSUPP as number)) check(result, "fsetxattr", directory);
}
