/** Edit sessions of bases: a writable upper on the current version, which becomes the top layer of the next version. */

import { VeneerError } from "../errors.ts";
import { deleteTrash } from "../gc/empty-trash.ts";
import { freeLayers } from "../inventory/remove-base.ts";
import { discard } from "../layers/discard.ts";
import { checkStackable } from "../layers/stackable.ts";
import { makeUpper } from "../overlay/make-upper.ts";
import { mountOverlay } from "../overlay/mount.ts";
import { mountSource } from "../overlay/mount-source.ts";
import { lockBase, readVersion } from "../store/bases.ts";
import { writeDocument } from "../store/document.ts";
import { hasLayer } from "../store/layers.ts";
import { isMountedOn } from "../store/mounts/identity.ts";
import { waitUntilFree } from "../store/mounts/in-use.ts";
import { freshUpper, openLayers } from "../store/open-layers.ts";
import { makeRun, paths, type Store } from "../store/paths.ts";
import {
  lockSession,
  publishedAs,
  readSession,
  type Session,
  type SessionVolume,
} from "../store/sessions.ts";
import { refuseShared } from "../store/shared.ts";
import { makeStaging } from "../store/staging.ts";
import { moveToTrash } from "../store/trash.ts";
import { isErrno } from "../sys/errno.ts";
import {
  type Fd,
  mkdirat,
  mkdirs,
  openDirectory,
  rename,
  rmdirQuietly,
  syncDirectory,
  uniqueSuffix,
} from "../sys/fd.ts";
import { AT_FDCWD, MNT_DETACH, RENAME_NOREPLACE, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { attach, umount2, umountQuietly } from "../sys/mount.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";

/** Milliseconds that the kernel may take to end the mount namespace of a command that has ended. */
const END_WAIT = 10_000;

/** The source of a session's overlay in mountinfo. */
const sourceOf = (name: string) => mountSource(`edit:${name}`);

export interface OpenSession {
  readonly session: Session;
  /** the lock from {@link lockSession} */
  readonly lock: Fd;
}

/**
 * Opens a session on the current version: durable, whole or not at all, and held. Throws SESSION when the
 * base has one.
 */
export function openSession(
  store: Store,
  name: string,
  command?: readonly string[],
  volumes: readonly SessionVolume[] = [],
): OpenSession {
  refuseShared(store, name);
  using _base = lockBase(store, { name });
  const base = readVersion(store, { name });
  using layers = openLayers(store, base);
  const session: Session = {
    version: base.version,
    digest: base.manifest.digest,
    layer: uniqueSuffix(),
    created: new Date().toISOString(),
    ...(command && { command }),
    ...(volumes.length > 0 && { volumes }),
  };
  using staging = makeStaging(store);
  {
    using directory = openDirectory(staging.path);
    makeUpper(directory, freshUpper(layers.fds, { opaque: [], mask: [] }).root, []);
  }
  mkdirat(AT_FDCWD, `${staging.path}/layer`, 0o700);
  rename(`${staging.path}/upper`, `${staging.path}/layer/tree`);
  checkStackable(base, `${staging.path}/layer/tree`);
  writeDocument(`${staging.path}/session.json`, session, { sync: true });
  try {
    rename(staging.path, paths.session(store, name), RENAME_NOREPLACE);
  } catch (error) {
    if (isErrno(error, "EEXIST")) throw alreadyOpen(store, name);
    throw error;
  }
  syncDirectory(paths.base(store, name));
  return { session, lock: staging.takeLock() };
}

export function alreadyOpen(store: Store, name: string): VeneerError {
  const session = readSession(store, name);
  return new VeneerError("SESSION_OPEN", `base ${name} has an editing session since ${session?.created}`, {
    hint: `'veneer base commit ${name}' publishes it, 'veneer base abort ${name}' drops it`,
  });
}

/** Creates the overlay of a session, detached. `more` are further layers between the upper and those of the base. */
export function mountSession(store: Store, name: string, session: Session, more: readonly Fd[] = []): Fd {
  if (!lstatMaybe(paths.sessionUpper(store, name))) {
    throw new VeneerError("INTERRUPTED", `a commit of base ${name} was interrupted`, {
      hint: `'veneer base commit ${name}' finishes it, 'veneer base abort ${name}' drops the session`,
    });
  }
  const base = readVersion(store, { name, version: session.version });
  using layers = openLayers(store, base);
  using upper = openDirectory(paths.sessionUpper(store, name));
  using work = openDirectory(paths.sessionWork(store, name));
  return mountOverlay({
    layers: [...more, ...layers.fds],
    upper,
    work,
    source: sourceOf(name),
    volatile: false,
  });
}

/** Mounts a session at its mount point below --run, unless it is mounted there already; returns the mount point. */
export function attachSession(store: Store, name: string, session: Session): string {
  makeRun(store);
  const target = paths.editPoint(store, name);
  if (isMountedOn(paths.sessionUpper(store, name), target)) return target;
  mkdirs(target, 0o700);
  using overlay = mountSession(store, name, session);
  using directory = openDirectory(target);
  attach(overlay, directory, target);
  return target;
}

/** Drops the changes of an unmounted session at and below the given paths. */
export function discardFromSession(store: Store, name: string, paths_: readonly string[]): void {
  for (const path of paths_) discard(paths.sessionUpper(store, name), path);
}

/** Unmounts a session; throws BUSY while something uses it, unless `force`. Idempotent. */
export function detachSession(store: Store, name: string, force = false): void {
  const target = paths.editPoint(store, name);
  if (isMountedOn(paths.sessionUpper(store, name), target)) {
    try {
      if (force) umountQuietly(target, MNT_DETACH | UMOUNT_NOFOLLOW);
      else umount2(target, UMOUNT_NOFOLLOW);
    } catch (error) {
      if (!isErrno(error, "EBUSY")) throw error;
      throw new VeneerError("BUSY", `a process still works in the session of base ${name}`, {
        cause: error,
        hint: `leave ${quote(target)} first; 'fuser -vm ${target}' shows who is there`,
      });
    }
  }
  rmdirQuietly(target);
  const upper = paths.sessionUpper(store, name);
  if (!force && lstatMaybe(upper) && !waitUntilFree(upper, END_WAIT)) {
    throw new VeneerError("BUSY", `the session of base ${name} is still mounted in another mount namespace`, {
      hint: "end the processes, above all containers, that have it mounted",
    });
  }
}

/**
 * Lets a session outlive its command, so that it can be committed or aborted after a kill or a refused commit. Durable
 * on return.
 */
export function keepSession(store: Store, name: string, session: Session): void {
  const { command: _1, volumes: _2, ...kept } = session;
  writeDocument(paths.sessionFile(store, name), kept, { sync: true });
}

/** Removes a session with its changes. The caller holds {@link lockSession}. */
export async function dropSession(store: Store, name: string, session: Session): Promise<void> {
  const trash = moveToTrash(store, paths.session(store, name));
  syncDirectory(paths.base(store, name));
  const layers = freeLayers(store, hasLayer(store, session.layer) ? [session.layer] : []);
  await deleteTrash([...(trash === undefined ? [] : [trash]), ...layers]);
}

/** Drops the session of a command that was killed. Returns whether there was one. */
export async function dropAbandoned(store: Store, name: string): Promise<boolean> {
  const session = readSession(store, name);
  if (!session) return false;
  const done = publishedAs(store, name, session) !== undefined;
  if (session.command === undefined && !done) return false;
  using lock = lockSession(store, name);
  if (lock) await dropSession(store, name, session);
  return true;
}
