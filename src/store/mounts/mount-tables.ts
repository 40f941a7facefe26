/** The mount tables of all namespaces that some process is in: one of each. */
import { isErrno } from "../../sys/errno.ts";
import { readlink } from "../../sys/fd.ts";
import { parseMountLine, readMountinfo } from "../../sys/mountinfo.ts";
import { list } from "../../sys/stat.ts";

/**
 * A process in each mount namespace other than `except` (an ino of /proc/PID/ns/mnt) that has an overlay with this
 * device number mounted, not counting mounts at `notAt`. The caller knows that the overlay of that number is alive:
 * the kernel gives it to another one afterwards.
 */
export function* mountersOf(device: string, except?: string, notAt?: string): Generator<number> {
  for (const { pid, table } of mountTables(except)) if (showsDevice(table, device, notAt)) yield pid;
}

/** The mount table of each namespace other than `except` that some process is in, and such a process. */
export function* mountTables(except?: string): Generator<{ readonly pid: number; readonly table: string }> {
  const seen = new Set<string>(except === undefined ? [] : [except]);
  for (const name of list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const pid = Number(name);
    const namespace = readNamespace(pid);
    if (namespace === undefined || seen.has(namespace)) continue;
    const table = readMountTable(pid);
    if (table === undefined) continue;
    seen.add(namespace);
    yield { pid, table };
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

function showsDevice(table: string, device: string, notAt: string | undefined): boolean {
  for (const line of table.split("\n")) {
    if (!line.includes(` ${device} `)) continue;
    const entry = parseMountLine(line);
    if (entry?.device === device && entry.type === "overlay" && entry.target !== notAt) return true;
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
