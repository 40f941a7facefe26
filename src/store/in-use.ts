/** Whether something that a record names is still in use. The kernel is asked, never the pid alone. */

import { errno, isErrno } from "../sys/errno.ts";
import { openDirectory, readlink } from "../sys/fd.ts";
import { FSCONFIG_CMD_CREATE } from "../sys/flags.ts";
import { syscall } from "../sys/libc.ts";
import { fsopen, setOption } from "../sys/mount.ts";
import { parseMountLine, readMountinfo } from "../sys/mountinfo.ts";
import { SYS } from "../sys/numbers.ts";
import { isAlive } from "../sys/process.ts";
import { sleep } from "../sys/self.ts";
import { list, lstatMaybe } from "../sys/stat.ts";
import type { Record } from "./records.ts";

/**
 * Whether any overlay in any mount namespace has this upper. Overlayfs marks the upper of every live
 * superblock, and with index=on refuses it with EBUSY before it looks at the work directory
 * (Documentation/filesystems/overlayfs.rst, "Sharing and copying layers"). The upper as its own work
 * directory lets the attempt fail in any case before anything is written.
 */
export function isUpperInUse(upper: string): boolean {
  if (!lstatMaybe(upper)) return false;
  using context = fsopen("overlay");
  using directory = openDirectory(upper);
  for (const [key, value] of [
    ["index", "on"],
    ["lowerdir", "/"],
    ["upperdir", directory.path],
    ["workdir", directory.path],
  ] as const) {
    if (setOption(context, key, value) < 0) return true;
  }
  const created = syscall(SYS.fsconfig, context.number, FSCONFIG_CMD_CREATE, null, null, 0);
  return created === -(errno.EBUSY as number);
}

/**
 * Directories of all parts below that of a generation or ephemeral upper, in use or left behind, itself first. A
 * part whose overlay lives on after a live rebase may be none of those that a definition names.
 */
export function partsOnDisk(directory: string): string[] {
  const inner = `${directory}/parts`;
  return [directory, ...(lstatMaybe(inner) ? list(inner).map((name) => `${inner}/${name}`) : [])];
}

/** Waits until no overlay has this upper; false when one still has it after `milliseconds`. */
export function waitUntilFree(upper: string, milliseconds: number): boolean {
  for (const end = Date.now() + milliseconds; isUpperInUse(upper); sleep(2)) {
    if (Date.now() > end) return false;
  }
  return true;
}

/**
 * A process in each mount namespace other than `except` (an ino of /proc/PID/ns/mnt) that has `source` mounted,
 * not counting mounts at `notAt`.
 */
export function* mountersOf(source: string, except?: string, notAt?: string): Generator<number> {
  const seen = new Set<string>(except === undefined ? [] : [except]);
  for (const name of list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const namespace = readNamespace(Number(name));
    if (namespace === undefined || seen.has(namespace)) continue;
    const table = readMountTable(Number(name));
    if (table === undefined) continue;
    seen.add(namespace);
    if (mountsSource(table, source, notAt)) yield Number(name);
  }
}

/**
 * The mounts that a process sees; undefined when it is gone. Another process of its mount namespace must then be
 * asked: one that has just ended says nothing of the namespace.
 */
export function readMountTable(pid: number): string | undefined {
  try {
    return readMountinfo(pid) || undefined;
  } catch {
    return undefined;
  }
}

function mountsSource(table: string, source: string, notAt: string | undefined): boolean {
  for (const line of table.split("\n")) {
    if (!line.includes(source)) continue;
    const entry = parseMountLine(line);
    if (entry?.source === source && entry.target !== notAt) return true;
  }
  return false;
}

/**
 * `mnt:[4026531841]` of a process; undefined when it is gone. One that a user may not look into, as a container in
 * another user namespace of the same user, counts as a namespace of its own: its mount table can be read.
 */
export function readNamespace(pid: number | "self"): string | undefined {
  try {
    return readlink(`/proc/${pid}/ns/mnt`);
  } catch (error) {
    return isErrno(error, "EACCES", "EPERM") ? `process ${pid}` : undefined;
  }
}

/** Whether a mount is at `target` in this namespace whose source is `source`. */
export function isMountedHere(target: string, source: string): boolean {
  for (const line of readMountinfo("self")?.split("\n") ?? []) {
    if (!line.includes(source)) continue;
    const entry = parseMountLine(line);
    if (entry?.source === source && entry.target === target) return true;
  }
  return false;
}

/**
 * Milliseconds from the mount on the host to a container that uses it: engines wait for less. podman's service,
 * which prepares under podman, goes on for ever.
 */
const CREATION_TIME = 120_000;

function isYoung(record: Record): boolean {
  return Math.abs(Date.now() - Date.parse(record.created)) < CREATION_TIME;
}

/**
 * Whether a record still stands for something: its preparing process, its container, or a live overlay.
 * `isInUse` answers for its upper; for many records at once there is a cheaper one in mounted.ts.
 */
export function isLive(record: Record, isInUse = isUpperInUse): boolean {
  if (isAlive(record.preparer) && (record.engine !== "precreate" || isYoung(record))) return true;
  if (record.process && isAlive(record.process)) return true;
  const { source, upper, target } = record;
  const { engine, placement } = record;
  if (engine === "mount" && source !== undefined && target !== undefined && isMountedHere(target, source)) {
    return true;
  }
  if (placement === "host" && engine !== "mount") {
    // the mount on the host keeps the upper in use for ever: a container has it elsewhere, as its root; at the
    // same place it is in the namespaces of services (PrivateTmp= and the like), to which mounts propagate, and
    // in that of a runtime before it pivots
    const notAt = engine === "runtime" && isYoung(record) ? undefined : target;
    return source !== undefined && !mountersOf(source, readNamespace("self"), notAt).next().done;
  }
  if (record.tmpfs) return source !== undefined && !mountersOf(source).next().done;
  // a live rebase puts another upper in the place of the one of before, which lives on while anything is on it
  return [upper, ...(record.remains ?? []).map((one) => one.upper)].some(
    (one) => one !== undefined && isInUse(one),
  );
}
