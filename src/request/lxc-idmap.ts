/** `lxc.idmap` (lxc.container.conf(5)). Pure. */
import type { IdMap, IdRange } from "../sys/user-namespace.ts";

/**
 * The maps from the values of these lines, in order; an empty value resets those before it. Undefined where there are
 * none. Skips values that LXC rejects, since it does not start such a container.
 */
export function idMapOfLines(values: readonly string[]): IdMap | undefined {
  const uids: IdRange[] = [];
  const gids: IdRange[] = [];
  for (const value of values.slice(values.lastIndexOf("") + 1)) {
    const [, kind, ...numbers] = /^([ug])\s+(\w+)\s+(\w+)\s+(\w+)$/.exec(value) ?? [];
    const [containerID = 0, hostID = 0, size = 0] = numbers.map(Number);
    if (kind !== undefined && size > 0) (kind === "u" ? uids : gids).push({ containerID, hostID, size });
  }
  return uids.length + gids.length === 0 ? undefined : { uids, gids };
}
