/** The mount tables of all mount namespaces that have a process, each once. */
import { isErrno } from "../../sys/errno.ts";
import { readlink } from "../../sys/fd.ts";
import { parseMountLine, readMountinfo } from "../../sys/mountinfo.ts";
import { list } from "../../sys/stat.ts";

/**
 * A process in each mount namespace other than `except` (`mnt:[…]`) where an overlay with this device number is mounted
 * anywhere but at `notAt`. The caller has made sure that the overlay is alive: afterwards the kernel reuses the number.
 */
export function* mountersOf(device: string, except?: string, notAt?: string): Generator<number> {
  for (const { pid, table } of mountTables(except)) if (showsDevice(table, device, notAt)) yield pid;
}

/** The mount table of each mount namespace that has a process, with such a process, except the namespace `except`. */
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
 * The mounts that a process sees; undefined when the process is gone. Then ask another process of its mount namespace,
 * which may live on.
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
 * The mount namespace of a process, like `mnt:[4026531841]`; undefined when the process is gone. A process that this
 * user may not inspect, as in a container in another user namespace of the same user, counts as having a namespace of
 * its own, since its mount table can still be read.
 */
export function readNamespace(pid: number | "self"): string | undefined {
  try {
    return readlink(`/proc/${pid}/ns/mnt`);
  } catch (error) {
    return isErrno(error, "EACCES", "EPERM") ? `process ${pid}` : undefined;
  }
}
