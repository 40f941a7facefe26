/**
 * How to recognize an overlay of ours: by kernel objects, which nobody can forge. The source and the options in a mount
 * table are text that anyone who may mount chooses, also in a user namespace of their own. The kernel assigns device
 * numbers, but reuses them once the file system is gone. So an overlay is ours when it has the device number in its
 * record and its upper is the very directory in the store, which others cannot reach.
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

/** Determined when an overlay is mounted, before it is attached anywhere. */
export interface OverlayIdentity {
  /** device number of its superblock, `major:minor`, as in mountinfo and st_dev */
  readonly device?: string;
  /** unique id of the mount (Linux 6.8); its copies in other namespaces have other ids */
  readonly mount?: number;
  /** handle of its upper directory (Linux 6.6), see sys/file-handle.ts */
  readonly upper?: string;
}

/** The identity of the overlay whose root `mount` has open. Takes two system calls. */
export function identityOf(mount: Fd): OverlayIdentity {
  const { device, unique } = mountStatus(mount.number);
  const upper = upperHandle(mount);
  return { device, ...(unique !== undefined && { mount: unique }), ...(upper !== undefined && { upper }) };
}

/** The fields of a record that identify its overlay. */
export type Identified = Pick<UseRecord, "overlay" | "upper">;

/** The handle of the upper of a record's overlay, from the record or else from the directory; undefined without one. */
export function upperHandleOf({ overlay, upper }: Identified): string | undefined {
  return overlay?.upper ?? (upper === undefined ? undefined : handleOfPath(upper));
}

/** The handle of a directory; undefined where it is gone or its file system has no handles. */
function handleOfPath(path: string): string | undefined {
  using fd = openatMaybe(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  return fd && fileHandle(fd);
}

/**
 * Whether `root` is the root of the record's overlay, in any mount namespace. Where the kernel has no handles for
 * overlays, the device number decides as long as the upper is in use, since no other overlay can use it then. For a
 * record without a device number (version 0.1) only the handle decides; without one, nothing matches.
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
 * Whether the record's overlay is mounted at its target in this mount namespace, perhaps below other mounts. Does not
 * look up the path: the owner of a directory on the way may have mounted a file system there that never answers.
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
 * Whether the record's overlay is the topmost mount at its target in this mount namespace: that very mount, not a copy
 * of it. Looks up the path, so call it before acting on the mount, not for a listing.
 */
export function isMountedAtTarget(record: Attached): boolean {
  const { hostOverlay, target, upper } = record;
  const overlay = hostOverlay ?? record.overlay;
  if (target === undefined || (overlay?.device !== undefined && !isAttached(record))) return false;
  using root = openMountPoint(target);
  if (!root) return false;
  const { isMountRoot, unique, device } = mountStatus(root.number);
  if (!isMountRoot || (overlay?.mount !== undefined && unique !== overlay.mount)) return false;
  // an upper in memory before Linux 6.6: it has no path to query, and its overlay has no handle
  if (upper === undefined && overlay?.device !== undefined && upperHandle(root) === undefined) {
    return device === overlay.device;
  }
  return isOverlayOf({ ...(overlay && { overlay }), ...(upper !== undefined && { upper }) }, root);
}

/** Whether an overlay with this upper is mounted at `target` here. For targets that only root can reach. */
export function isMountedOn(upper: string, target: string): boolean {
  using root = openMountPoint(target);
  if (!root || !mountStatus(root.number).isMountRoot) return false;
  const handle = upperHandle(root);
  return handle === undefined ? isUpperInUse(upper) : handle === handleOfPath(upper);
}

/** Undefined where the directory is gone: whoever may write to its parent may have replaced it with anything. */
function openMountPoint(target: string): Fd | undefined {
  try {
    return openatMaybe(AT_FDCWD, target, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}
