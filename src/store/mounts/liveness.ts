/** Whether something that a record names is still in use. The kernel is asked: never text, never the pid alone. */

import { isAlive } from "../../sys/process.ts";
import type { UseRecord } from "../records.ts";
import { isAttached } from "./identity.ts";
import { isUpperInUse } from "./in-use.ts";
import { mountersOf, readNamespace } from "./mount-tables.ts";
import { isRootOf } from "./roots.ts";

/**
 * Milliseconds from the mount on the host to a container that uses it: engines wait for less. podman's service,
 * which prepares under podman, goes on for ever.
 */
const CREATION_TIME = 120_000;

function isYoung(record: UseRecord): boolean {
  return Math.abs(Date.now() - Date.parse(record.created)) < CREATION_TIME;
}

/**
 * Whether a record still stands for something: its preparing process, its container, or a live overlay. One of
 * version 0.1, which does not say by what to know its overlay, counts as alive where that cannot be ruled out.
 * `isInUse` answers for its upper; for many records at once there is a cheaper one in mounted.ts.
 */
export function isLive(record: UseRecord, isInUse = isUpperInUse): boolean {
  if (isAlive(record.preparer) && (record.engine !== "precreate" || isYoung(record))) return true;
  if (record.process && isAlive(record.process)) return true;
  const { upper, target, overlay } = record;
  const { engine, placement } = record;
  // its maker was killed before the overlay was mounted anywhere
  if (overlay && overlay.device === undefined) return false;
  if (engine === "mount" && isAttached(record)) return true;
  if (placement === "host" && engine !== "mount") {
    if (!isOverlayAlive(record, isInUse)) return false;
    if (overlay?.device === undefined) return true;
    // the mount on the host keeps the upper in use for ever: a container has it elsewhere, as its root; at the
    // same place it is in the namespaces of services (PrivateTmp= and the like), to which mounts propagate, and
    // in that of a runtime before it pivots
    const notAt = engine === "runtime" && isYoung(record) ? undefined : target;
    return !mountersOf(overlay.device, readNamespace("self"), notAt).next().done;
  }
  if (record.tmpfs) return isOverlayAlive(record, isInUse);
  // a live rebase puts another upper in the place of the one of before, which lives on while anything is on it
  return [upper, ...(record.remains ?? []).map((one) => one.upper)].some(
    (one) => one !== undefined && isInUse(one),
  );
}

/** Whether the record's overlay is there, in whichever namespace, so that its device number means it. */
function isOverlayAlive(record: UseRecord, isInUse: (upper: string) => boolean): boolean {
  const { overlay, upper } = record;
  if (upper !== undefined) return isInUse(upper);
  if (overlay?.device === undefined || isAttached(record)) return true;
  for (const pid of mountersOf(overlay.device)) if (isRootOf(pid, record)) return true;
  return false;
}
