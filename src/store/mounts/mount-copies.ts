/** Copies of a mount in other mount namespaces that would remain when it is unmounted here. */

import { mountTableOf, otherMountNamespaces } from "../../sys/mount-namespaces.ts";
import { type MountEntry, parseMountinfo, readMountinfo } from "../../sys/mountinfo.ts";
import { list } from "../../sys/stat.ts";
import { readMountTable, readNamespace } from "./mount-tables.ts";

/** A process in the namespace that keeps a copy; no pid when no process is in that namespace. */
export interface Keeper {
  readonly pid?: number;
}

/**
 * Finds a mount namespace whose copy of the overlay with that device number would survive unmounting it at `target`
 * here; undefined where all copies are unmounted with it, as peers and slaves are (mount_namespaces(7)). The caller has
 * made sure that this overlay is mounted here.
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
