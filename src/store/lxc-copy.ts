/** Instances that lxc.hook.clone created for copies of containers. */

import { createFile, readText } from "../sys/fd.ts";
import { isInstanceName } from "../text/names.ts";
import { readInstance } from "./instances.ts";
import { paths, type Store } from "./paths.ts";
import { moveToTrash } from "./trash.ts";

const markOf = (store: Store, id: string) => `${paths.instance(store, id)}/copied-for`;

/** Records for which LXC configuration file an instance was created. */
export function markCopy(store: Store, id: string, config: string): void {
  createFile(markOf(store, id), config, { sync: true });
}

/**
 * Moves the instance that lxc.hook.clone created for a copy to the trash, because the copy is ephemeral and does not
 * need one: LXC says so only after the hook. Returns its path in the trash, or undefined where there was none.
 * Idempotent.
 */
export function dropCopy(store: Store, container: string, config: string): string | undefined {
  if (!isInstanceName(container) || readText(markOf(store, container)) !== config) return undefined;
  return readInstance(store, container) && moveToTrash(store, paths.instance(store, container));
}
