/**
 * What tells an overlay of ours from all others: objects of the kernel that nobody can choose. The source and the
 * options in a mount table are text that anyone who may mount writes, in a user namespace of his own too; a device
 * number is the kernel's, and is given again once its file system is gone. So an overlay is ours when it has the
 * device number that its record holds and stands on the very upper directory, which lies in the store, out of reach.
 */

import { isErrno } from "../../sys/errno.ts";
import { type Fd, openatMaybe } from "../../sys/fd.ts";
import { fileHandle, upperHandle } from "../../sys/file-handle.ts";
import { mountStatus } from "../../sys/file-place.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../../sys/flags.ts";
import { type MountEntry, parseMountinfo, readMountinfo } from "../../sys/mountinfo.ts";
import { mountPointOf } from "../../sys/statmount.ts";
import type { UseRecord } from "../records.ts";
import { isUpperInUse } from "./in-use.ts";

/** Taken when an overlay is mounted, before it is attached anywhere. */
export interface OverlayIdentity {
  /** of its superblock, `major:minor`, as in mountinfo and st_dev */
  readonly device?: string;
  /** the mount's unique id (Linux 6.8); copies of it in other namespaces have others */
  readonly mount?: number;
  /** handle of its upper directory (Linux 6.6), see sys/file-handle.ts */
  readonly upper?: string;
}

/** Of a mount whose root `mount` has open: two system calls. */
export function identityOf(mount: Fd): OverlayIdentity {
  const { device, unique } = mountStatus(mount.number);
  const upper = upperHandle(mount);
  return { device, ...(unique !== undefined && { mount: unique }), ...(upper !== undefined && { upper }) };
}

/** The record parts that tell its overlay. */
export type Identified = Pick<UseRecord, "overlay" | "upper">;

/** The handle of the upper of a record's overlay: from the record, else of the directory; undefined where there is none. */
export function upperHandleOf({ overlay, upper }: Identified): string | undefined {
  return overlay?.upper ?? (upper === undefined ? undefined : handleOfPath(upper));
}

/** The handle of a directory; undefined where it is gone, or where there are no handles. */
function handleOfPath(path: string): string | undefined {
  using fd = openatMaybe(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  return fd && fileHandle(fd);
}

/**
 * Whether `root` is the root of the record's overlay, in whichever namespace. Where the kernel has no handles of
 * overlays, the device number tells while the upper is in use: nobody else can use it. A record without a device
 * number (of version 0.1) is told by the handle alone, and matches nothing where there is none.
 */
export function isOverlayOf(record: Identified, root: Fd): boolean {
  const device = record.overlay?.device;
  if (device !== undefined && mountStatus(root.number).device !== device) return false;
  const handle = upperHandle(root);
  if (handle !== undefined) return handle === upperHandleOf(record);
  return device !== undefined && record.upper !== undefined && isUpperInUse(record.upper);
}

type Attached = Identified & Pick<UseRecord, "target" | "hostOverlay">;

/**
 * Whether the record's overlay is mounted at its target in this mount namespace, under what else may lie there. The
 * path is not looked up: whoever has a directory on the way may have mounted a file system there that never answers.
 */
export function isAttached(record: Attached): boolean {
  const { hostOverlay, target, upper } = record;
  const { device, mount } = hostOverlay ?? record.overlay ?? {};
  if (target === undefined) return false;
  if (device === undefined) return isMountedAtTarget(record);
  const place = mount === undefined ? "unknown" : mountPointOf(mount);
  if (place !== "unknown") return place === target;
  const isIt = (entry: MountEntry) =>
    entry.type === "overlay" && entry.device === device && entry.target === target;
  if (!parseMountinfo(readMountinfo("self") ?? "").some(isIt)) return false;
  return upper === undefined || hostOverlay !== undefined || isUpperInUse(upper);
}

/**
 * Whether the record's overlay is what is seen at its target in this mount namespace: the very mount, not a copy of
 * it. The path is looked up: for whoever acts on it, not for a listing.
 */
export function isMountedAtTarget(record: Attached): boolean {
  const { hostOverlay, target, upper } = record;
  const overlay = hostOverlay ?? record.overlay;
  if (target === undefined || (overlay?.device !== undefined && !isAttached(record))) return false;
  using root = openMountPoint(target);
  if (!root) return false;
  const { isMountRoot, unique } = mountStatus(root.number);
  if (!isMountRoot || (overlay?.mount !== undefined && unique !== overlay.mount)) return false;
  // an upper in memory before Linux 6.6: it has no path to ask by, and its overlay no handle
  if (upper === undefined && overlay?.device !== undefined && upperHandle(root) === undefined) {
    return mountStatus(root.number).device === overlay.device;
  }
  return isOverlayOf({ ...(overlay && { overlay }), ...(upper !== undefined && { upper }) }, root);
}

/** Whether an overlay on that upper is mounted at `target` in this mount namespace. For a place that root alone reaches. */
export function isMountedOn(upper: string, target: string): boolean {
  using root = openMountPoint(target);
  if (!root || !mountStatus(root.number).isMountRoot) return false;
  const handle = upperHandle(root);
  return handle === undefined ? isUpperInUse(upper) : handle === handleOfPath(upper);
}

/** Undefined where there is none any more: whoever may write there may have put something else in its place. */
function openMountPoint(target: string): Fd | undefined {
  try {
    return openatMaybe(AT_FDCWD, target, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}
