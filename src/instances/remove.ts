/** Removes a named instance with a single rename, whatever its size. */

import { refuseHeld, refuseInUse } from "../start/refuse-held.ts";
import { noSuchInstance, requireLock } from "../store/instances.ts";
import { refuseLxcMounted } from "../store/lxc-mount.ts";
import { partsOnDisk } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { moveToTrash } from "../store/trash.ts";
import { unlinkQuietly } from "../sys/fd.ts";
import { list } from "../sys/stat.ts";

/**
 * Atomically moves an instance with all its generations to the trash and returns its path there. Throws while something
 * uses the instance; the error names the holder.
 */
export function removeInstance(store: Store, id: string): string {
  using _lock = requireLock(store, id);
  return removeLocked(store, id);
}

/** Does what {@link removeInstance} does. The caller holds the lock of the instance. */
export function removeLocked(store: Store, id: string): string {
  refuseHeld(store, id);
  refuseLxcMounted(store, id);
  const directory = paths.instance(store, id);
  for (const entry of list(directory)) {
    if (/^[0-9]+$/.test(entry)) refuseInUse(id, partsOnDisk(`${directory}/${entry}`));
  }
  const trash = moveToTrash(store, directory);
  if (trash === undefined) throw noSuchInstance(store, id);
  // the link that named its last holder
  unlinkQuietly(paths.held(store, id));
  return trash;
}
