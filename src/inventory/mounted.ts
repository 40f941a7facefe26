/** Which uppers are mounted, read once for many records. Not for the hot path, which asks about one. */

import { isLive, isUpperInUse, readMountTable, readNamespace } from "../store/in-use.ts";
import type { Record } from "../store/records.ts";
import { parseMountLine, upperOf } from "../sys/mountinfo.ts";
import { list } from "../sys/stat.ts";
import { belowStore } from "./root-processes.ts";

/** Whether records and uppers are in use. What it has read goes stale: made for one listing, and not kept. */
export interface LiveTest {
  isLive(record: Record): boolean;
  isInUse(upper: string): boolean;
  /** whether a process shows it as mounted, under this path */
  isMounted(upper: string): boolean;
}

/**
 * Each probe of an upper ({@link isUpperInUse}) leaves a line in the kernel's log; so what some mount namespace
 * shows as mounted is believed, and the kernel is asked about the rest alone: overlays that no process sees any
 * more, and those that were mounted since.
 */
export function makeLiveTest(): LiveTest {
  let read: ReadonlySet<string> | undefined;
  const shows = (upper: string, idmapped: boolean) => {
    read ??= mountedUppers();
    return read.has(upper) || (idmapped && read.has(belowStore(upper) ?? upper));
  };
  const isMounted = (upper: string) => shows(upper, false);
  return {
    isLive: (record) =>
      isLive(record, (upper) => shows(upper, record.idmap !== undefined) || isUpperInUse(upper)),
    // names of ephemeral uppers are random: no other store has the same
    isInUse: (upper) =>
      shows(upper, /\/ephemeral\/[^/]+(\/parts\/[0-9]+)?\/upper$/.test(upper)) || isUpperInUse(upper),
    isMounted,
  };
}

/** The upper directories of the overlays in all mount namespaces that some process is in, as they were given. */
function mountedUppers(): ReadonlySet<string> {
  const uppers = new Set<string>();
  const seen = new Set<string>();
  for (const name of list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const namespace = readNamespace(Number(name));
    if (namespace === undefined || seen.has(namespace)) continue;
    const table = readMountTable(Number(name));
    if (table === undefined) continue;
    seen.add(namespace);
    for (const upper of uppersOf(table)) uppers.add(upper);
  }
  return uppers;
}

function* uppersOf(table: string): Generator<string> {
  for (const line of table.split("\n")) {
    if (!line.includes(" - overlay ")) continue;
    const upper = upperOf(parseMountLine(line)?.superOptions ?? "");
    if (upper !== undefined) yield upper;
  }
}
