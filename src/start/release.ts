/** Releases what a record describes. */

import { deleteIfSmall } from "../store/delete-in-background.ts";
import { isMountedAtTarget } from "../store/mounts/identity.ts";
import { paths, type Store } from "../store/paths.ts";
import { readRecord, removeRecord, type UseRecord } from "../store/records.ts";
import { moveToTrash } from "../store/trash.ts";
import { type Fd, flock, openat, readlink, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, MNT_DETACH, O_DIRECTORY, O_RDONLY, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { umountCanonicalQuietly, umountQuietly } from "../sys/mount.ts";
import { programPath } from "../sys/self.ts";
import { startDetached } from "../sys/spawn.ts";
import { removeMountPoint } from "./mount-point.ts";

/**
 * Releases what a record describes: unmounts a mount on the host, moves an ephemeral upper to the trash and removes the
 * record. Idempotent. The caller has made sure that nothing uses it any more. A small directory in the trash is
 * deleted, unless the caller deletes it in the background (`aside`). Returns the directory in the trash if anything
 * remains.
 */
export function release(store: Store, record: UseRecord, aside = false): string | undefined {
  let left: string | undefined;
  if (record.placement === "host" && record.target !== undefined) {
    const mapped = record.target === paths.mappedPoint(store, record.key);
    const own = mapped || record.target === paths.rootPoint(store, record.key);
    // only veneer mounts at a mount point of its own, so unmount even a mere copy of the mount, as in a namespace
    // other than the engine's: it would prevent the removal of the directory
    if (own) umountQuietly(record.target, MNT_DETACH | UMOUNT_NOFOLLOW);
    else if (isMountedAtTarget(record)) {
      // that of `veneer mount` is canonical
      if (record.engine === "mount") umountCanonicalQuietly(record.target, MNT_DETACH);
      else umountQuietly(record.target, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
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
 * Starts a process that merges the parts of the instance in a released record (`mergeWhenFree`), and does not wait for
 * it. Does nothing when the container was not rebased while it ran.
 */
export function mergeLater(store: Store, { instance, upper }: UseRecord): void {
  if (instance === undefined || !upper?.includes("/parts/")) return;
  try {
    startDetached([programPath(), "--root", store.root, "--run", store.run, "internal", "merge", instance]);
  } catch {
    // `gc` merges them
  }
}

/**
 * Releases a dead record, unless another process has released or changed it in the meantime. Idempotent.
 */
export function reclaim(store: Store, record: UseRecord): void {
  using _lock = lockRecords(store);
  if (isUnchanged(store, record)) release(store, record);
}

/**
 * Whether a record has not changed since it was read. After a live rebase it names another upper, so that an unused
 * previous upper would not mean that the container is gone.
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
