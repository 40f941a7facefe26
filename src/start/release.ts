/** Takes down what a record stands for. */

import { deleteIfSmall } from "../store/delete-in-background.ts";
import { isMountedAtTarget } from "../store/mounts/identity.ts";
import { paths, type Store } from "../store/paths.ts";
import { readRecord, removeRecord, type UseRecord } from "../store/records.ts";
import { moveToTrash } from "../store/trash.ts";
import { type Fd, flock, openat, readlink, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, MNT_DETACH, O_DIRECTORY, O_RDONLY, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { umountQuietly } from "../sys/mount.ts";
import { programPath } from "../sys/self.ts";
import { startDetached } from "../sys/spawn.ts";
import { removeMountPoint } from "./mount-point.ts";

/**
 * Takes down what a record stands for: the upper of an ephemeral instance goes to the trash in one step, the
 * record goes. Idempotent. The caller knows that nothing uses it any more. Returns the directory in the trash
 * when something is left in it: a small one is deleted, unless the caller has it deleted out of the way (`aside`).
 */
export function release(store: Store, record: UseRecord, aside = false): string | undefined {
  let left: string | undefined;
  if (record.placement === "host" && record.target !== undefined) {
    const mapped = record.target === paths.mappedPoint(store, record.key);
    const own = mapped || record.target === paths.rootPoint(store, record.key);
    // only veneer mounts at a mount point of its own: in another namespace than the engine's there is a copy, which
    // would keep the directory from being removed
    if (own || isMountedAtTarget(record)) umountQuietly(record.target, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (own) removeMountPoint(record.target, mapped);
  }
  if (record.ephemeral !== undefined) {
    const trash = moveToTrash(store, paths.ephemeral(store, record.ephemeral));
    if (trash !== undefined && (aside || !deleteIfSmall(trash))) left = trash;
  }
  removeRecord(store, record);
  return left;
}

/**
 * Lets the parts of the instance that a record named be merged by a process of its own, which this one does not
 * wait for (`mergeWhenFree`). Costs nothing where the container was not rebased while it ran.
 */
export function mergeLater(store: Store, { instance, upper }: UseRecord): void {
  if (instance === undefined || !upper?.includes("/parts/")) return;
  try {
    startDetached([programPath(), "--root", store.root, "--run", store.run, "internal", "merge", instance]);
  } catch {
    // they stay, for `gc`
  }
}

/**
 * Takes down what a dead record stands for, unless another process has done so or changed it meanwhile. Idempotent.
 */
export function reclaim(store: Store, record: UseRecord): void {
  using _lock = lockRecords(store);
  if (isUnchanged(store, record)) release(store, record);
}

/**
 * Whether a record still says what it said when it was looked at. One that a live rebase has changed since names another
 * upper: that nothing has the former one does not mean that the container is gone.
 */
export function isUnchanged(store: Store, record: UseRecord): boolean {
  return JSON.stringify(readRecord(store, record.key)) === JSON.stringify(record);
}

/** Removes the link to an instance's holder when its record is gone. Idempotent. */
export function dropDanglingHolder(store: Store, instance: string): void {
  const link = paths.held(store, instance);
  if (readlink(link) === undefined) return;
  using _lock = lockRecords(store);
  const key = readlink(link);
  if (key !== undefined && !readRecord(store, key)) unlinkQuietly(link);
}

function lockRecords(store: Store): Fd {
  const path = paths.records(store);
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  flock(fd.number, LOCK_EX, path);
  return fd;
}
