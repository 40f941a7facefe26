/** Whether what a record describes is still in use. The kernel decides, never text, never a pid alone. */

import { hidesProcesses, isAlive, lifeOf } from "../../sys/process.ts";
import type { UseRecord } from "../records.ts";
import { isAttached } from "./identity.ts";
import { isUpperInUse } from "./in-use.ts";
import { mountersOf, readNamespace } from "./mount-tables.ts";
import { isRootOf } from "./roots.ts";

/**
 * Milliseconds that a container may take to appear after its mount on the host; engines give up earlier. A limit is
 * needed because the preparing process does not always end: podman's service, for example, keeps running.
 */
const CREATION_TIME = 120_000;

function isYoung(record: UseRecord): boolean {
  return Math.abs(Date.now() - Date.parse(record.created)) < CREATION_TIME;
}

/**
 * Whether a record is still needed: its preparing process, its container or its overlay is alive. A record of version
 * 0.1, which does not identify its overlay, counts as live unless that can be ruled out. So does one whose user may be
 * among the processes that /proc hides from this one. `isInUse` tells whether an upper is in use; mounted.ts has a
 * cheaper one for many records at once.
 */
export function isLive(record: UseRecord, isInUse = isUpperInUse): boolean {
  if (isAlive(record.preparer) && (record.engine !== "precreate" || isYoung(record))) return true;
  if (record.process && isAlive(record.process)) return true;
  const { upper, target, overlay } = record;
  const { engine, placement } = record;
  // the preparing process was killed before it mounted the overlay anywhere
  if (overlay && overlay.device === undefined) return lifeOf(record.preparer) === "hidden";
  if (engine === "mount" && isAttached(record)) return true;
  if (placement === "host" && engine !== "mount") {
    if (!isOverlayAlive(record, isInUse)) return false;
    if (overlay?.device === undefined) return true;
    // the mount on the host keeps the upper in use, so look for the overlay in other namespaces. A container has it
    // elsewhere, as its root. At the same path it is also in the namespaces of services (PrivateTmp= and the like), to
    // which mounts propagate, and in that of a runtime before it pivots
    const notAt = engine === "runtime" && isYoung(record) ? undefined : target;
    return !mountersOf(overlay.device, readNamespace("self"), notAt).next().done || hidesProcesses();
  }
  if (record.tmpfs) return isOverlayAlive(record, isInUse);
  // after a live rebase, the previous upper stays in use as long as anything still uses the previous root
  return [upper, ...(record.remains ?? []).map((one) => one.upper)].some(
    (one) => one !== undefined && isInUse(one),
  );
}

/** Whether the record's overlay exists in any mount namespace, so that its device number still means it. */
function isOverlayAlive(record: UseRecord, isInUse: (upper: string) => boolean): boolean {
  const { overlay, upper } = record;
  if (upper !== undefined) return isInUse(upper);
  if (overlay?.device === undefined || isAttached(record)) return true;
  for (const pid of mountersOf(overlay.device)) if (isRootOf(pid, record)) return true;
  return hidesProcesses();
}
