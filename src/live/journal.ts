/**
 * The intent of a live rebase or copy: what it is about to do to a container, written before it begins, with all that is
 * needed to thaw the container again.
 */
import { VeneerError } from "../errors.ts";
import validateMoving from "../generated/moving.js";
import { readDocument } from "../store/document.ts";
import type { Instance } from "../store/instances.ts";
import { paths, type Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { namesIn } from "../store/versions.ts";
import type { Freezer } from "../sys/cgroup.ts";
import { isErrno } from "../sys/errno.ts";
import {
  createFile,
  type Fd,
  flock,
  mkdirs,
  openat,
  openatMaybe,
  rename,
  uniqueSuffix,
  unlinkQuietly,
} from "../sys/fd.ts";
import {
  AT_FDCWD,
  LOCK_EX,
  LOCK_NB,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RENAME_NOREPLACE,
} from "../sys/flags.ts";
import type { ProcessIdentity } from "../sys/process.ts";
import { fstat, lstatMaybe } from "../sys/stat.ts";

/** How the processes of a container are frozen. */
export interface FreezePlan {
  /** absent: every process is stopped by a signal */
  readonly freezer?: Freezer;
  /** processes that get SIGSTOP: those outside of the group that were not stopped before */
  readonly stopped: readonly ProcessIdentity[];
  /** somebody else froze it, and will thaw it */
  readonly frozenBefore: boolean;
}

interface Intent {
  readonly key: string;
  readonly halt: FreezePlan;
  /** as they were */
  readonly record: UseRecord;
  readonly instance?: Instance;
}

/** The upper of what runs is copied: there is nothing to do but to thaw it. */
export interface CopyIntent extends Intent {
  readonly copy: true;
}

export interface RebaseIntent extends Intent {
  readonly copy?: undefined;
  /** the container's first process */
  readonly init: ProcessIdentity;
  /** id of the mount that is its root */
  readonly root: number;
  /** that mount is shared */
  readonly shared: boolean;
  /** further namespaces with a copy of that root */
  readonly copies?: readonly Pick<RebaseIntent, "init" | "root" | "shared">[];
  /** the upper that the container will write to */
  readonly part: string;
  /** it was made for this switch */
  readonly made: boolean;
  /** the upper whose entries move into the one of `part` */
  readonly from?: string;
}

/**
 * Publishes an intent and locks it: it is under way as long as the descriptor is open, so whoever can take the lock
 * knows that its maker was killed. `again`: replaces an intent that the caller holds; otherwise throws BUSY where
 * there is one.
 */
export function publishIntent(store: Store, intent: RebaseIntent | CopyIntent, again = false): Fd {
  const path = paths.moving(store, intent.key);
  mkdirs(path.slice(0, path.lastIndexOf("/")), 0o700);
  const temporary = `${path}.${uniqueSuffix()}`;
  createFile(temporary, `${JSON.stringify(intent)}\n`);
  const fd = openat(AT_FDCWD, temporary, O_RDONLY);
  flock(fd.number, LOCK_EX, temporary);
  try {
    rename(temporary, path, again ? 0 : RENAME_NOREPLACE);
  } catch (error) {
    unlinkQuietly(temporary);
    fd[Symbol.dispose]();
    if (!isErrno(error, "EEXIST")) throw error;
    throw beingRebased(intent.record);
  }
  return fd;
}

function beingRebased({ container, key }: UseRecord): VeneerError {
  return new VeneerError(
    "BUSY",
    `container ${container ?? key} is being rebased or copied by another veneer process`,
    {
      hint: "try again in a moment",
    },
  );
}

/**
 * Locks the ephemeral upper of a container against another live rebase or copy, as an instance's lock does for an instance.
 * Undefined for a container without one, or whose upper is gone. Throws BUSY.
 */
export function lockEphemeral(store: Store, record: UseRecord): Fd | undefined {
  if (record.ephemeral === undefined) return undefined;
  const path = paths.ephemeral(store, record.ephemeral);
  const fd = openatMaybe(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd || flock(fd.number, LOCK_EX | LOCK_NB, path)) return fd;
  fd[Symbol.dispose]();
  throw beingRebased(record);
}

export function removeIntent(store: Store, key: string): void {
  unlinkQuietly(paths.moving(store, key));
}

export function readIntent(store: Store, key: string): RebaseIntent | CopyIntent | undefined {
  const hint =
    "the container may be frozen: thaw it ('cgroup.freeze' or 'freezer.state' of its control group), then remove that file";
  return readDocument<RebaseIntent | CopyIntent>(paths.moving(store, key), validateMoving, hint);
}

/** Keys of all intents. */
export function listIntents(store: Store): string[] {
  return namesIn(`${store.run}/moving`).flatMap((name) => /^(.+)\.json$/.exec(name)?.[1] ?? []);
}

/** Takes over an intent whose maker was killed; undefined where the switch is under way, or has ended meanwhile. */
export function holdIntent(store: Store, key: string): Fd | undefined {
  const path = paths.moving(store, key);
  const fd = openatMaybe(AT_FDCWD, path, O_RDONLY);
  if (!fd) return undefined;
  if (flock(fd.number, LOCK_EX | LOCK_NB, path) && lstatMaybe(path)?.ino === fstat(fd.number).ino) return fd;
  fd[Symbol.dispose]();
  return undefined;
}
