/** What runs on the store now: live records, and the processes behind them. */

import { listInstances, readInstance } from "../store/instances.ts";
import { lxcConfigOf, lxcMountRecord } from "../store/lxc-mount.ts";
import type { Store } from "../store/paths.ts";
import { listRecords, readRecord, type UseRecord } from "../store/records.ts";
import { readText } from "../sys/fd.ts";
import { identify } from "../sys/process.ts";
import { makeLiveTest } from "./mounted.ts";
import { findRootProcesses } from "./root-processes.ts";

export interface Running {
  readonly record: UseRecord;
  /** the container's first process; absent where there is none (mounted by hand) or none yet */
  readonly pid?: number;
}

/** Live records that are `wanted`, oldest first, with their processes; `report` is told of damaged ones. */
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

/** A name of each that begins with `begun`: one thing with two names that do is no choice. */
export function runningNames(running: readonly Running[], begun: string): string[] {
  return running.flatMap(({ record: { container, instance } }) => {
    const names = [container, instance].filter((name) => name?.startsWith(begun)) as string[];
    return names.includes(begun) ? [begun] : names.slice(0, 1);
  });
}

/** A live rebase may end after a record was read: what was in use then is free, and the record names something else. */
function liveState(
  store: Store,
  record: UseRecord,
  isLive: (record: UseRecord) => boolean,
): UseRecord | undefined {
  if (isLive(record)) return record;
  const now = readRecord(store, record.key);
  return now && now.upper !== record.upper && isLive(now) ? now : undefined;
}

/** Containers that LXC gave their root itself: there is no record of them. Damaged instances are left out. */
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

/** Adds to live records the process of each: from the record where it has one, else found by its root. */
export function withProcesses(records: readonly UseRecord[]): Running[] {
  const unknown = records.filter((record) => record.engine !== "mount" && !record.process);
  const processes = findRootProcesses(unknown);
  return records.map((record) => {
    const pid = record.process?.pid ?? processes.get(record);
    const since = record.created === "" && pid !== undefined ? { created: startOf(pid) } : {};
    return { record: { ...record, ...since }, ...(pid !== undefined && { pid }) };
  });
}

/** When a process began, ISO 8601 (proc_stat(5) btime); clock ticks are hundredths of a second. */
function startOf(pid: number): string {
  const boot = Number(/^btime ([0-9]+)$/m.exec(readText("/proc/stat") ?? "")?.[1]);
  const ticks = identify(pid)?.startTime;
  return ticks === undefined ? "" : new Date(boot * 1000 + ticks * 10).toISOString();
}
