/** The root of a process, and whether it is a record's overlay. */
import { isErrno } from "../../sys/errno.ts";
import { type Fd, openDirectory } from "../../sys/fd.ts";
import { parseMountLine } from "../../sys/mountinfo.ts";
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
    return root !== undefined && isOverlayOf(record, root);
  } catch (error) {
    if (!isErrno(error, "EACCES", "EPERM")) throw error;
    const device = rootIn(readMountTable(pid) ?? "");
    return device === record.overlay?.device && record.upper !== undefined && isUpperInUse(record.upper);
  }
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
