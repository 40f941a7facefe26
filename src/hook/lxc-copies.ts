/**
 * Copies of containers by engines that call no hook for them (LXD, Incus). Such a copy takes the root's directory along, on
 * which the container stands that first started on it: the copy would begin with an empty instance of its own, without what
 * the original wrote.
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

const MARK = "trusted.veneer.container";

/**
 * Refuses a copy until there is an instance of its name; notes the container on a directory that has no note. The directory
 * is the one below the base, of which the container sees nothing.
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
  // a file system without such attributes has no note
  if (result !== -(errno.EOPNOTSUPP as number)) check(result, "fsetxattr", directory);
}
