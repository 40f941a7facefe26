/** What runs on the store now: live records and their processes. */

import { listInstances, readInstance } from "../store/instances.ts";
import { lxcConfigOf, lxcMountRecord } from "../store/lxc-mount.ts";
import type { Store } from "../store/paths.ts";
import { listRecords, readRecord, type UseRecord } from "../store/records.ts";
import { readText } from "../sys/fd.ts";
import { identify, isAlive } from "../sys/process.ts";
import { makeLiveTest } from "./mounted.ts";
import { findRootProcesses } from "./root-processes.ts";

export interface Running {
  readonly record: UseRecord;
  /** the first process of the container; absent for a mount by hand, and before the process has started */
  readonly pid?: number;
}

/**
 * Lists the live records that are `wanted`, oldest first, with their processes. Passes errors of damaged ones to
 * `report`.
 */
export function listRunning(
  store: Store,
  report?: (error: unknown) => void,
  wanted: (record: UseRecord) => boolean = () => true,
): Running[] {
  const test = makeLiveTest();
  const live = [
    ...listRecords(store, "", report)
      .filter(wanted)
      .flatMap((record) => liveState(store, record, test.isLive) ?? []),
    ...mountedByLxc(store, test.isInUse).filter(wanted),
  ];
  return withProcesses(live).sort((a, b) => (a.record.created < b.record.created ? -1 : 1));
}

/**
 * One name of each that begins with `begun`: a container and its instance that both do count once, not as ambiguous.
 */
export function runningNames(running: readonly Running[], begun: string): string[] {
  return running.flatMap(({ record: { container, instance } }) => {
    const names = [container, instance].filter((name) => name?.startsWith(begun)) as string[];
    return names.includes(begun) ? [begun] : names.slice(0, 1);
  });
}

/** Reads the record again when its upper is not in use: a live rebase may have replaced both since it was read. */
function liveState(
  store: Store,
  record: UseRecord,
  isLive: (record: UseRecord) => boolean,
): UseRecord | undefined {
  if (isLive(record)) return record;
  const now = readRecord(store, record.key);
  return now && now.upper !== record.upper && isLive(now) ? now : undefined;
}

/** Containers whose root LXC mounted itself, so that they have no record. Leaves out damaged instances. */
function mountedByLxc(store: Store, isInUse: (upper: string) => boolean): UseRecord[] {
  return listInstances(store).flatMap((id) => {
    if (lxcConfigOf(store, id) === undefined) return [];
    try {
      const instance = readInstance(store, id);
      return (instance && lxcMountRecord(store, id, instance, isInUse)) ?? [];
    } catch {
      return [];
    }
  });
}

/**
 * Adds the process to each live record: the recorded one if it is still that process, else the one whose root is the
 * overlay. Another process of the container may keep a record alive while a stranger has the first one's pid.
 */
export function withProcesses(records: readonly UseRecord[]): Running[] {
  const known = new Map(
    records.flatMap((record) =>
      record.process && isAlive(record.process) ? [[record, record.process.pid]] : [],
    ),
  );
  const unknown = records.filter((record) => record.engine !== "mount" && !known.has(record));
  const processes = findRootProcesses(unknown);
  return records.map((record) => {
    const pid = known.get(record) ?? processes.get(record);
    const since = record.created === "" && pid !== undefined ? { created: startOf(pid) } : {};
    return { record: { ...record, ...since }, ...(pid !== undefined && { pid }) };
  });
}

/** The start time of a process, ISO 8601 (btime in proc_stat(5)); a clock tick is 10 ms. */
function startOf(pid: number): string {
  const boot = Number(/^btime ([0-9]+)$/m.exec(readText("/proc/stat") ?? "")?.[1]);
  const ticks = identify(pid)?.startTime;
  return ticks === undefined ? "" : new Date(boot * 1000 + ticks * 10).toISOString();
}
