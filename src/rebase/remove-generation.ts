/** Removes a generation that an instance keeps. */

import { dropGeneration } from "../instances/generations.ts";
import { refuseInUse } from "../start/refuse-held.ts";
import { requireInstance, requireLock, writeInstance } from "../store/instances.ts";
import { partsOnDisk } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { moveToTrash } from "../store/trash.ts";

/** Removes a kept generation with its changes; returns its path in the trash. */
export function removeGeneration(store: Store, id: string, number: number): string | undefined {
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  const next = dropGeneration(id, instance, number);
  refuseInUse(id, partsOnDisk(paths.generation(store, id, number)));
  writeInstance(store, id, next);
  return moveToTrash(store, paths.generation(store, id, number));
}
