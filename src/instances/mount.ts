/** Mounts instances on the host for `veneer mount`. */

import { VeneerError, withContext } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import { heldBy } from "../start/refuse-held.ts";
import { reclaim } from "../start/release.ts";
import { startLocked } from "../start/start-named.ts";
import { deleteInBackground } from "../store/delete-in-background.ts";
import {
  type Instance,
  readInstance,
  requireInstance,
  requireLock,
  writeInstance,
} from "../store/instances.ts";
import { isMountedAtTarget } from "../store/mounts/identity.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { mountersOf } from "../store/mounts/mount-tables.ts";
import { makeRun, paths, type Store } from "../store/paths.ts";
import { findHolder, readRecord, recordKey, type UseRecord } from "../store/records.ts";
import { isErrno } from "../sys/errno.ts";
import { mkdirMaybe, mkdirs, openCanonical, openDirectory, readlink, rmdirQuietly } from "../sys/fd.ts";
import { trustedPath } from "../sys/files/trusted-path.ts";
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID } from "../sys/flags.ts";
import { umountCanonical, umountCanonicalQuietly } from "../sys/mount.ts";
import { identifySelf, type ProcessIdentity } from "../sys/process.ts";
import { quote } from "../text/quote.ts";
import { type FreshOptions, makeFresh, removeFresh } from "./fresh.ts";
import { removeLocked } from "./remove.ts";

export interface MountOptions {
  /** absent: RUN/mnt/ID, which is created */
  readonly directory?: string | undefined;
  /** honour set-user-ID bits: for a root that a container or chroot(1) will use */
  readonly suid: boolean;
  /** honour device files */
  readonly dev: boolean;
  /** create the instance for this mount, on this base; {@link umountInstance} removes it */
  readonly fresh?: FreshOptions;
  /** `directory` is where it was mounted before: it must not lead elsewhere by now */
  readonly again?: boolean;
}

/**
 * Mounts an instance on the host, by default with nosuid and nodev, and records the mount for {@link mountAll}. Returns
 * the mount point without symbolic links. Idempotent, unless `fresh`: an existing mount of that kind at that place
 * stays. Throws MOUNT_POINT when the directory cannot be used or created.
 */
export function mountInstance(settings: Settings, id: string, options: MountOptions): string {
  if (!options.fresh) return mountExisting(settings, id, options);
  makeFresh(settings.store, id, options.fresh);
  try {
    return mountExisting(settings, id, options);
  } catch (error) {
    removeFresh(settings.store, id);
    throw error;
  }
}

function mountExisting(settings: Settings, id: string, options: MountOptions): string {
  const { store } = settings;
  using _lock = requireLock(store, id);
  makeRun(store);
  const instance = requireInstance(store, id);
  const directory = options.directory === undefined ? undefined : trustedPath(options.directory);
  const made = makeTarget(store, id, directory);
  const target = canonical(directory ?? paths.mountPoint(store, id));
  // a link by now, or one that was none when it was mounted before
  const expected = options.again ? options.directory : directory;
  if (expected !== undefined && target !== expected) throw leadsElsewhere(id, expected, target);
  const mounted = { target, ...(options.suid && { suid: true }), ...(options.dev && { dev: true }) };
  if (!options.fresh && isAsWished(store, id, instance, mounted)) return target;
  try {
    withContext(`mount ${id}`, () => mountLocked(settings, id, instance, mounted));
    if (!instance.fresh) remember(store, id, mounted);
  } catch (error) {
    const record = readRecord(store, mountKey(id));
    if (record && sameProcess(record.preparer, identifySelf())) {
      umountCanonicalQuietly(target, 0);
      reclaim(store, record);
    }
    if (made) rmdirQuietly(target);
    throw error;
  }
  return target;
}

function leadsElsewhere(id: string, directory: string, target: string): VeneerError {
  const what = `mount point ${quote(directory)} leads to ${quote(target)} now, through a link`;
  return new VeneerError("MOUNT_POINT", what, { hint: `'veneer mount ${id} DIRECTORY' mounts it elsewhere` });
}

/** Whether it is mounted there already, in this mount namespace. The caller holds the lock of the instance. */
function isAsWished(store: Store, id: string, instance: Instance, mounted: Mounted): boolean {
  const holder = findHolder(store, id);
  if (holder?.engine !== "mount" || holder.target !== mounted.target || !isMountedAtTarget(holder))
    return false;
  const { target, suid = false, dev = false } = instance.mounted ?? {};
  return target === mounted.target && suid === (mounted.suid ?? false) && dev === (mounted.dev ?? false);
}

/** Creates a missing mount point, but no directory above one that the caller named; returns whether it did. */
function makeTarget(store: Store, id: string, directory: string | undefined): boolean {
  if (directory === undefined) {
    mkdirs(paths.mountPoint(store, id), 0o700);
    return true;
  }
  const slash = directory.lastIndexOf("/");
  if (directory === "/") return false;
  try {
    using above = openCanonical(directory.slice(0, slash) || "/");
    return mkdirMaybe(directory.slice(slash + 1), 0o755, above.number);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw new VeneerError("MOUNT_POINT", "mount point", { cause: error });
    throw new VeneerError(
      "MOUNT_POINT",
      `mount point ${quote(directory)}: there is no directory to make it in`,
      {
        hint: `mkdir -p ${quote(directory)}`,
      },
    );
  }
}

function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime;
}

export type Mounted = NonNullable<Instance["mounted"]>;

/** Mounts an instance. The caller holds its lock. */
export function mountLocked(settings: Settings, id: string, instance: Instance, mounted: Mounted): void {
  startLocked(settings, id, instance, {
    engine: "mount",
    key: mountKey(id),
    attributes: (mounted.suid ? 0 : MOUNT_ATTR_NOSUID) | (mounted.dev ? 0 : MOUNT_ATTR_NODEV),
    mountAt: { kind: "directory", placement: "host", path: mounted.target, exact: true },
  });
}

function mountKey(id: string): string {
  return recordKey("mount", id, "");
}

/** Resolves symbolic links in the path of a directory, so that it is the path that mountinfo shows. */
function canonical(directory: string): string {
  return withContext("mount point", () => {
    using fd = openDirectory(directory);
    return readlink(fd.path) as string;
  });
}

/** Records in the definition where the instance is mounted. The caller holds the lock of the instance. */
function remember(store: Store, id: string, mounted: Instance["mounted"]): void {
  const instance = readInstance(store, id);
  if (!instance || JSON.stringify(instance.mounted) === JSON.stringify(mounted)) return;
  const { mounted: _, ...rest } = instance;
  writeInstance(store, id, { ...rest, ...(mounted && { mounted }) });
}

/** Mounts again all instances that `veneer mount` mounted and that are not mounted now; calls `failed` on errors. */
export function mountAll(
  settings: Settings,
  ids: readonly string[],
  done: (target: string) => void,
  failed: (error: unknown) => void,
): void {
  const { store } = settings;
  for (const id of ids) {
    try {
      const mounted = readInstance(store, id)?.mounted;
      if (!mounted) continue;
      const holder = findHolder(store, id);
      if (holder?.engine === "mount" && isLive(holder)) continue;
      const own = mounted.target === paths.mountPoint(store, id);
      done(
        mountInstance(settings, id, {
          directory: own ? undefined : mounted.target,
          again: true,
          suid: mounted.suid ?? false,
          dev: mounted.dev ?? false,
        }),
      );
    } catch (error) {
      failed(error);
    }
  }
}

/**
 * Unmounts an instance that `veneer mount` mounted and removes the record of the mount, also when something else has
 * unmounted it. Removes an instance that was created for its mount. Throws NOT_MOUNTED when there is neither a mount
 * nor a record, or when it is mounted elsewhere than in the given `directory`; BUSY when a process uses the mount.
 */
export function umountInstance(store: Store, id: string, directory?: string): "kept" | "removed" {
  using _lock = requireLock(store, id);
  const holder = findHolder(store, id);
  if (holder && holder.engine !== "mount" && isLive(holder)) throw heldBy(id, holder);
  const target = holder?.engine === "mount" ? holder.target : undefined;
  const instance = readInstance(store, id);
  if (directory !== undefined) checkPlace(id, directory, target ?? instance?.mounted?.target);
  if (holder && target !== undefined && isMountedAtTarget(holder)) unmount(id, target);
  else if ((holder && isLive(holder)) || !(instance?.mounted || instance?.fresh))
    throw notMountedHere(id, holder);
  if (holder) reclaim(store, holder);
  if (target === paths.mountPoint(store, id)) rmdirQuietly(target);
  if (instance?.fresh) {
    deleteInBackground(removeLocked(store, id));
    return "removed";
  }
  remember(store, id, undefined);
  return "kept";
}

function checkPlace(id: string, directory: string, target: string | undefined): void {
  if (target === undefined || target === directory || target === canonical(directory)) return;
  throw new VeneerError("NOT_MOUNTED", `instance ${id} is not mounted in ${quote(directory)}`, {
    hint: `it is mounted in ${quote(target)}`,
  });
}

function notMountedHere(id: string, holder: UseRecord | undefined): VeneerError {
  const elsewhere = holder?.engine === "mount" && isLive(holder);
  const device = elsewhere ? holder.overlay?.device : undefined;
  const pid = device === undefined ? undefined : mountersOf(device).next().value;
  return new VeneerError(
    "NOT_MOUNTED",
    elsewhere
      ? `instance ${id} is not mounted in this mount namespace, but in ${pid === undefined ? "another" : `that of process ${pid}`}`
      : `instance ${id} is not mounted`,
    { hint: pid === undefined ? "'veneer ls' shows what is" : `nsenter -m -t ${pid} veneer umount ${id}` },
  );
}

/** Unmounts `target`. Throws BUSY when a process uses the mount. */
export function unmount(id: string, target: string): void {
  try {
    umountCanonical(target, 0);
  } catch (error) {
    if (!isErrno(error, "EBUSY")) throw error;
    throw new VeneerError("BUSY", `instance ${id} is in use`, {
      cause: error,
      hint: `'fuser -vm ${target}' shows by which processes`,
    });
  }
}
