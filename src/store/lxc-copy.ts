/** Instances that lxc.hook.clone made for copies of containers. */

import { createFile, readText } from "../sys/fd.ts";
import { isInstanceName } from "../text/names.ts";
import { readInstance } from "./instances.ts";
import { paths, type Store } from "./paths.ts";
import { moveToTrash } from "./trash.ts";

const markOf = (store: Store, id: string) => `${paths.instance(store, id)}/copied-for`;

/** Notes for which configuration file of LXC an instance was made. */
export function markCopy(store: Store, id: string, config: string): void {
  createFile(markOf(store, id), config, { sync: true });
}

/**
 * Removes what lxc.hook.clone made for a copy that turns out to be ephemeral, and so has no use for it: LXC tells only
 * after the hook. Returns what is in the trash now; undefined where there was nothing. Idempotent.
 */
export function dropCopy(store: Store, container: string, config: string): string | undefined {
  if (!isInstanceName(container) || readText(markOf(store, container)) !== config) return undefined;
  return readInstance(store, container) && moveToTrash(store, paths.instance(store, container));
}
