/** The root of a process, and whether it is a record's overlay. */
import { isErrno } from "../../sys/errno.ts";
import { type Fd, openDirectory } from "../../sys/fd.ts";
import { upperHandle } from "../../sys/file-handle.ts";
import { mountStatus } from "../../sys/file-place.ts";
import { parseMountLine } from "../../sys/mountinfo.ts";
import { gone } from "../../sys/process/processes.ts";
import { geteuid } from "../../sys/process.ts";
import { stat } from "../../sys/stat.ts";
import { inUserNamespace, overflowIds, ownerOfUserns } from "../../sys/user-namespace.ts";
import { type Identified, isOverlayOf } from "./identity.ts";
import { isUpperInUse } from "./in-use.ts";
import { readMountTable } from "./mount-tables.ts";

/**
 * Whether the root of a process is the record's overlay. For a process that this user may not inspect, as in a
 * container in another user namespace of the same user, its mount table decides, and whether the upper is in use.
 */
export function isRootOf(pid: number, record: Identified): boolean {
  try {
    using root = openRoot(pid);
    if (!root) return false;
    if (!hasDeviceAlone(record)) return isOverlayOf(record, root);
    const isIt = mountStatus(root.number).device === record.overlay?.device;
    return isIt && upperHandle(root) === undefined && isOwn(pid);
  } catch (error) {
    if (!isErrno(error, "EACCES", "EPERM")) throw error;
    const device = rootIn(readMountTable(pid) ?? "");
    if (device !== record.overlay?.device) return false;
    return record.upper === undefined ? hasDeviceAlone(record) && isOwn(pid) : isUpperInUse(record.upper);
  }
}

/**
 * Whether only the device number identifies the overlay: its upper is in memory, and it has no handle (before Linux 6.6, and
 * in a user namespace). A number that the kernel reuses is the next best proof: it may keep a record whose overlay is gone.
 */
function hasDeviceAlone({ overlay, upper }: Identified): boolean {
  return upper === undefined && overlay?.device !== undefined && overlay.upper === undefined;
}

/** Whether a process may be of a container of this user's: another user can mount overlays too, in its own namespaces. */
function isOwn(pid: number): boolean {
  if (inUserNamespace()) return gone(() => stat(`/proc/${pid}`).uid !== overflowIds().uid) ?? false;
  return geteuid() === 0 || ownerOfUserns(pid) === geteuid();
}

/** Undefined when the process is gone. The lookup ends at the magic link: it asks no file system of a container. */
export function openRoot(pid: number): Fd | undefined {
  try {
    return openDirectory(`/proc/${pid}/root`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/** The device number, `major:minor`, of the topmost overlay at `/` in a mount table. */
export function rootIn(table: string): string | undefined {
  let device: string | undefined;
  for (const line of table.split("\n")) {
    if (!line.includes(" / / ")) continue;
    const entry = parseMountLine(line);
    if (entry?.target === "/" && entry.type === "overlay") device = entry.device;
  }
  return device;
}
