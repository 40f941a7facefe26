/** Removes a named instance: gone by one rename, whatever its size. */

import { refuseHeld, refuseInUse } from "../start/refuse-held.ts";
import { noSuchInstance, requireLock } from "../store/instances.ts";
import { refuseLxcMounted } from "../store/lxc-mount.ts";
import { partsOnDisk } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { moveToTrash } from "../store/trash.ts";
import { unlinkQuietly } from "../sys/fd.ts";
import { list } from "../sys/stat.ts";

/**
 * Moves an instance with all its generations to the trash and returns where it is there. Atomic. Throws, and
 * names the holder, while something uses it.
 */
export function removeInstance(store: Store, id: string): string {
  using _lock = requireLock(store, id);
  return removeLocked(store, id);
}

/** Like {@link removeInstance}, for one whose lock the caller holds. */
export function removeLocked(store: Store, id: string): string {
  refuseHeld(store, id);
  refuseLxcMounted(store, id);
  const directory = paths.instance(store, id);
  for (const entry of list(directory)) {
    if (/^[0-9]+$/.test(entry)) refuseInUse(id, partsOnDisk(`${directory}/${entry}`));
  }
  const trash = moveToTrash(store, directory);
  if (trash === undefined) throw noSuchInstance(store, id);
  // the link by which its last holder was found
  unlinkQuietly(paths.held(store, id));
  return trash;
}
