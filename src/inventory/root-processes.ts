/** Finds the processes of containers whose record has no pid, by the overlay that is their root. */

import { type Identified, upperHandleOf } from "../store/mounts/identity.ts";
import { readMountTable, readNamespace } from "../store/mounts/mount-tables.ts";
import { isRootOf, openRoot, rootIn } from "../store/mounts/roots.ts";
import type { UseRecord } from "../store/records.ts";
import { isErrno } from "../sys/errno.ts";
import { upperHandle } from "../sys/file-handle.ts";
import { mountStatus } from "../sys/file-place.ts";
import { identify, isAlive, type ProcessIdentity } from "../sys/process.ts";
import { list } from "../sys/stat.ts";

/** A mount namespace whose root is an overlay, ours or not. */
export interface RootProcess {
  readonly device: string;
  /** the first process found in the namespace */
  readonly process: ProcessIdentity;
}

/** Kept from earlier calls: moving many containers asks once for each, and there are many processes to search. */
let found: RootsByDevice = new Map();

/**
 * Finds the first process of the container of each record. The wrapping runtime cannot record a pid, since the process
 * of the container starts after it. A runtime that still waits in the namespace prepared for it is not found: the
 * overlay is not its root yet.
 */
export function findRootProcesses(records: readonly UseRecord[]): Map<UseRecord, number> {
  const before = new Map(
    records.flatMap((record) => (record.overlay ? match(found, record) : undefined) ?? []),
  );
  if (before.size === records.length) return before;
  found = byDevice(findRoots());
  return new Map(records.flatMap((record) => match(found, record) ?? []));
}

function byDevice(roots: readonly RootProcess[]): RootsByDevice {
  const groups = new Map<string, RootProcess[]>();
  for (const root of roots) {
    const group = groups.get(root.device);
    if (group) group.push(root);
    else groups.set(root.device, [root]);
  }
  return groups;
}

type RootsByDevice = ReadonlyMap<string, readonly RootProcess[]>;

function match(roots: RootsByDevice, record: UseRecord): (readonly [UseRecord, number])[] | undefined {
  const device = record.overlay?.device;
  // records of version 0.1 and of instances that LXC mounts name no device: only the upper identifies the overlay
  const candidates = device === undefined ? [...roots.values()].flat() : (roots.get(device) ?? []);
  const first = candidates
    .filter(({ process }) => isAlive(process) && isRootOf(process.pid, record))
    .sort((a, b) => a.process.startTime - b.process.startTime)[0];
  return first && [[record, first.process.pid]];
}

/** Finds one process in each mount namespace whose root is an overlay. */
function findRoots(): RootProcess[] {
  const roots = new Map<string, string | undefined>();
  const first = new Map<string, RootProcess>();
  for (const name of list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const pid = Number(name);
    const namespace = readNamespace(pid);
    if (namespace === undefined) continue;
    if (!roots.has(namespace)) {
      const table = readMountTable(pid);
      if (table === undefined) continue;
      roots.set(namespace, rootIn(table));
    }
    const device = roots.get(namespace);
    const process = device === undefined ? undefined : identify(pid);
    if (device === undefined || !process) continue;
    const known = first.get(namespace);
    if (!known || process.startTime < known.process.startTime) first.set(namespace, { device, process });
  }
  return [...first.values()];
}

/** Tells whether an upper belongs to the root of some process, by file handle. Reads once, for many questions. */
export function rootUppers(): (record: Identified) => boolean {
  let known: ReadonlyMap<string, ReadonlySet<string>> | undefined;
  return (record) => {
    const handle = upperHandleOf(record);
    if (handle === undefined) return false;
    known ??= handlesOf(findRoots());
    const devices = known.get(handle);
    return (
      devices !== undefined && (record.overlay?.device === undefined || devices.has(record.overlay.device))
    );
  };
}

/** The devices of the overlays on each upper, by the handle of the upper. */
function handlesOf(roots: readonly RootProcess[]): Map<string, Set<string>> {
  const devices = new Map<string, Set<string>>();
  for (const { process } of roots) {
    try {
      using root = openRoot(process.pid);
      const handle = root && upperHandle(root);
      if (!root || handle === undefined) continue;
      const { device } = mountStatus(root.number);
      devices.set(handle, (devices.get(handle) ?? new Set()).add(device));
    } catch (error) {
      if (!isErrno(error, "EACCES", "EPERM")) throw error;
    }
  }
  return devices;
}
