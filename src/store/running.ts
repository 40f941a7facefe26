/** What runs on the store now: live records, and the processes behind them. */
import { readText } from "../sys/fd.ts";
import { parseMountLine, upperOf } from "../sys/mountinfo.ts";
import { identify, isAlive, type ProcessIdentity } from "../sys/process.ts";
import { list } from "../sys/stat.ts";
import { listInstances, readInstance } from "./instances.ts";
import { readMountTable, readNamespace } from "./liveness.ts";
import { lxcConfigOf, lxcMountRecord } from "./lxc-mount.ts";
import { makeLiveTest } from "./mounted.ts";
import type { Store } from "./paths.ts";
import { listRecords, type Record } from "./records.ts";

export interface Running {
  readonly record: Record;
  /** the container's first process; absent where there is none (mounted by hand) or none yet */
  readonly pid?: number;
}

/** Live records that are `wanted`, oldest first, with their processes; `report` is told of damaged ones. */
export function listRunning(
  store: Store,
  report?: (error: unknown) => void,
  wanted: (record: Record) => boolean = () => true,
): Running[] {
  const test = makeLiveTest();
  const live = [
    ...listRecords(store, "", report).filter(wanted).filter(test.isLive),
    ...mountedByLxc(store, test.isMounted).filter(wanted),
  ];
  return withProcesses(live).sort((a, b) => (a.record.created < b.record.created ? -1 : 1));
}

/** Containers that LXC gave their root itself: there is no record of them. Damaged instances are left out. */
function mountedByLxc(store: Store, isMounted: (upper: string) => boolean): Record[] {
  return listInstances(store).flatMap((id) => {
    if (lxcConfigOf(store, id) === undefined) return [];
    try {
      const instance = readInstance(store, id);
      return (instance && lxcMountRecord(store, id, instance, isMounted)) ?? [];
    } catch {
      return [];
    }
  });
}

/** Adds to live records the process of each: from the record where it has one, else found by its root. */
export function withProcesses(records: readonly Record[]): Running[] {
  const unknown = records.filter((record) => record.engine !== "mount" && !record.process);
  const known = new Map(unknown.flatMap(({ source = "" }) => stillThere(source) ?? []));
  const roots = known.size === unknown.length ? known : findRoots();
  return records.map((record) => {
    const root = record.engine === "mount" ? undefined : roots.get(record.source ?? "");
    const pid = record.process?.pid ?? root;
    const since = record.created === "" && pid !== undefined ? { created: startOf(pid) } : {};
    return { record: { ...record, ...since }, ...(pid !== undefined && { pid }) };
  });
}

/** What {@link findRoots} found before: one who moves many containers asks for each, and the machine has many processes. */
const found = new Map<string, ProcessIdentity>();

function stillThere(source: string): (readonly [string, number])[] | undefined {
  const process = found.get(source);
  if (!process || !isAlive(process)) return undefined;
  return rootSource(readMountTable(process.pid) ?? "") === source ? [[source, process.pid]] : undefined;
}

/** When a process began, ISO 8601 (proc_stat(5) btime); clock ticks are hundredths of a second. */
function startOf(pid: number): string {
  const boot = Number(/^btime ([0-9]+)$/m.exec(readText("/proc/stat") ?? "")?.[1]);
  const ticks = identify(pid)?.startTime;
  return ticks === undefined ? "" : new Date(boot * 1000 + ticks * 10).toISOString();
}

/**
 * The first process on each overlay of ours that is the root of a mount namespace, by the overlay's source.
 * The wrapping runtime leaves no pid, since the container's process comes after it; a runtime that waits in
 * the namespace that it was prepared in has the overlay elsewhere than at its root.
 */
function findRoots(): Map<string, number> {
  const sources = new Map<string, string | undefined>();
  const first = new Map<string, ProcessIdentity>();
  for (const name of list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const pid = Number(name);
    const namespace = readNamespace(pid);
    if (namespace === undefined) continue;
    if (!sources.has(namespace)) {
      const table = readMountTable(pid);
      if (table === undefined) continue;
      sources.set(namespace, rootSource(table));
    }
    const source = sources.get(namespace);
    const identity = source === undefined ? undefined : identify(pid);
    if (source === undefined || !identity) continue;
    const known = first.get(source);
    if (!known || identity.startTime < known.startTime) first.set(source, identity);
  }
  for (const [source, identity] of first) found.set(source, identity);
  return new Map([...first].map(([source, { pid }]) => [source, pid]));
}

/** The source of the overlay that is a process's root, when it is one of ours; of one that LXC mounted, its upper. */
function rootSource(table: string): string | undefined {
  let source: string | undefined;
  for (const line of table.split("\n")) {
    if (!line.includes(" / / ")) continue;
    const entry = parseMountLine(line);
    if (entry?.target === "/" && entry.type === "overlay") {
      source = entry.source.startsWith("veneer:") ? entry.source : upperOf(entry.superOptions);
    }
  }
  return source;
}
