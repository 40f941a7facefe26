/** Copies of a mount in other mount namespaces: what would stay when it is unmounted here. */

import { mountTableOf, otherMountNamespaces } from "../../sys/mount-namespaces.ts";
import { type MountEntry, parseMountinfo, readMountinfo } from "../../sys/mountinfo.ts";
import { list } from "../../sys/stat.ts";
import { readMountTable, readNamespace } from "./mount-tables.ts";

/** Who keeps a copy: a process in its namespace; absent where no process is in it. */
export interface Keeper {
  readonly pid?: number;
}

/**
 * A mount namespace with a copy of the overlay of that device that would outlive its unmounting at `target` here;
 * undefined where all would go along with it, as peers and slaves do (mount_namespaces(7)). The caller knows that the
 * overlay of that number is mounted here.
 */
export function keeperOfCopy(device: string, target: string): Keeper | undefined {
  const own = parseMountinfo(readMountinfo("self") ?? "").findLast(
    (entry) => entry.device === device && entry.target === target,
  );
  const group = own?.propagation.find((field) => field.startsWith("shared:"))?.slice("shared:".length);
  const stays = (table: string) =>
    table.includes(` ${device} `) &&
    parseMountinfo(table).some((entry) => entry.device === device && !goesAlong(entry, group));
  const seen = new Set([readNamespace("self")]);
  for (const name of list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const namespace = readNamespace(Number(name));
    const table = namespace === undefined || seen.has(namespace) ? undefined : readMountTable(Number(name));
    if (table === undefined) continue;
    seen.add(namespace);
    if (stays(table)) return { pid: Number(name) };
  }
  for (const { fd, name } of otherMountNamespaces()) {
    if (!seen.has(name) && stays(mountTableOf(fd))) return {};
  }
  return undefined;
}

function goesAlong({ propagation }: MountEntry, group: string | undefined): boolean {
  return (
    group !== undefined && propagation.some((one) => one === `shared:${group}` || one === `master:${group}`)
  );
}
