/** Named instances. Each has a definition and, for each generation, an upper and a work directory. */
import { UsageError, VeneerError } from "../errors.ts";
import validateInstance from "../generated/instance.js";
import { isErrno } from "../sys/errno.ts";
import { type Fd, flock, openatMaybe, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../sys/flags.ts";
import { sleep } from "../sys/self.ts";
import { fstat, list, lstatMaybe } from "../sys/stat.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import type { BaseVersion } from "./bases.ts";
import { readDocument, writeDocument } from "./document.ts";
import type { Parts } from "./frozen-uppers.ts";
import { ADMINISTRATOR, type Maker } from "./makers.ts";
import type { Owner } from "./owners.ts";
import { paths, type Store } from "./paths.ts";

/** An upper, possibly in several parts, and the version below it. */
export interface Generation extends Parts {
  readonly base: string;
  readonly version: number;
  /** digest of that version when the generation was created */
  readonly digest: string;
  readonly generation: number;
  /** the generation that it replaced, to which a fallback returns */
  readonly previous?: number;
  /** when it was created, ISO 8601 */
  readonly since?: string;
  /** it was prepared for a cutover and has not been used yet */
  readonly prepared?: boolean;
}

/** The definition of an instance, which includes its current generation. */
export interface Instance extends Generation {
  /** ISO 8601 */
  readonly created: string;
  /** opaque directories, applied once when the upper is created; later starts leave them as the container left them */
  readonly opaque: readonly string[];
  /** patterns of paths that are hidden in every version; each mount adds those of the configuration */
  readonly mask: readonly string[];
  /** size in bytes of an upper in memory, which each start creates anew */
  readonly tmpfs?: number;
  /** `veneer mount` created it for one mount, and it is removed with that mount */
  readonly fresh?: boolean;
  /** the engine's container whose removal ends its life; absent: only `veneer rm` removes it */
  readonly owner?: Owner;
  /** absent: created by version 0.1 */
  readonly maker?: Maker;
  /** where `veneer mount` mounted it; `mount --all` mounts it there again */
  readonly mounted?: { readonly target: string; readonly suid?: boolean; readonly dev?: boolean };
  /** other generations, kept with all their changes */
  readonly kept?: readonly Generation[];
}

/** The definition of a new instance on a version. `now` is ISO 8601. */
export function newDefinition(
  { name, version, manifest }: BaseVersion,
  now: string,
  options: Pick<Instance, "opaque" | "mask" | "tmpfs" | "fresh" | "owner" | "maker">,
): Instance {
  const { opaque, mask, tmpfs, fresh, owner, maker = { tenant: ADMINISTRATOR } } = options;
  return {
    base: name,
    version,
    digest: manifest.digest,
    generation: 1,
    since: now,
    created: now,
    opaque,
    mask,
    ...(tmpfs !== undefined && { tmpfs }),
    ...(fresh && { fresh }),
    ...(owner && { owner }),
    maker,
  };
}

/** The definition with masks added; masks are never dropped. Returns the same object when none of them is new. */
export function withMasks(instance: Instance, ...masks: readonly (readonly string[])[]): Instance {
  const mask = [...new Set([...instance.mask, ...masks.flat()])];
  return mask.length === instance.mask.length ? instance : { ...instance, mask };
}

/** The ids of all named instances, sorted. */
export function listInstances(store: Store): string[] {
  try {
    return list(paths.instances(store)).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** The definition of an instance; undefined where there is no such instance. */
export function readInstance(store: Store, id: string): Instance | undefined {
  const hint = `restore that file, or remove the instance with its changes: 'veneer rm ${id}'`;
  return readDocument<Instance>(paths.instanceFile(store, id), validateInstance, hint);
}

/** Like {@link readInstance}, but throws where there is no such instance. */
export function requireInstance(store: Store, id: string): Instance {
  const instance = readInstance(store, id);
  if (instance) return instance;
  throw noSuchInstance(store, id);
}

export function noSuchInstance(store: Store, id: string): VeneerError {
  return new VeneerError("NO_INSTANCE", `no instance ${id} in ${store.root}`, {
    hint: `'veneer ls' lists them, 'veneer create ${id} BASE' makes one`,
  });
}

/** Publishes a changed definition, durable on return. The caller holds the instance's lock. */
export function writeInstance(store: Store, id: string, instance: Instance): void {
  writeDocument(paths.instanceFile(store, id), instance, { sync: true });
}

/**
 * Locks an instance for a change or a start; undefined where there is no such instance. When another process holds the
 * lock, throws BUSY, or with `wait` waits for it. A merge in the background is made to stop first, unless the caller is
 * itself a merge (`merge`).
 */
export function lockInstance(
  store: Store,
  id: string,
  options: { wait?: boolean; merge?: boolean } = {},
): Fd | undefined {
  const path = paths.instance(store, id);
  for (;;) {
    const fd = openatMaybe(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!fd) return undefined;
    const locked = flock(fd.number, options.wait ? LOCK_EX : LOCK_EX | LOCK_NB, path);
    if (!locked && (options.merge || !takeFromMerge(store, id, fd))) {
      fd[Symbol.dispose]();
      throw new VeneerError("BUSY", `instance ${id} is being changed or started by another veneer process`, {
        hint: "try again in a moment",
      });
    }
    // before we got the lock, the instance may have been removed and another created under its name
    if (lstatMaybe(path)?.ino === fstat(fd.number).ino) return fd;
    fd[Symbol.dispose]();
  }
}

/** Milliseconds: most merges of parts finish within the first; one that is asked to stop gets the second to do so. */
const MERGE_END = 300;
const MERGE_STOP = 10_000;

/** Takes over the lock of a merge in the background (`mergeInstance`); false where something else holds the lock. */
function takeFromMerge(store: Store, id: string, fd: Fd): boolean {
  const marker = paths.merging(store, id);
  const locksWithin = (milliseconds: number) => {
    for (const end = Date.now() + milliseconds; Date.now() < end; sleep(1)) {
      if (flock(fd.number, LOCK_EX | LOCK_NB, paths.instance(store, id))) return true;
    }
    return false;
  };
  if (!lstatMaybe(marker)) return locksWithin(2);
  if (locksWithin(MERGE_END)) return true;
  unlinkQuietly(marker);
  return locksWithin(MERGE_STOP);
}

/** Like {@link lockInstance}, but throws where there is no such instance. */
export function requireLock(store: Store, id: string): Fd {
  const fd = lockInstance(store, id);
  if (fd) return fd;
  throw noSuchInstance(store, id);
}

/** Throws when the instance is on another base or version, or on one with that number but another digest. */
export function checkInstanceBase(id: string, instance: Instance, wanted: BaseRef | undefined): void {
  const own = { name: instance.base, version: instance.version };
  const differs =
    wanted !== undefined &&
    (wanted.name !== own.name || (wanted.version !== undefined && wanted.version !== own.version));
  if (!differs) return;
  throw new UsageError(
    `instance ${id} is on ${formatBaseRef(own)}, not on ${formatBaseRef(wanted)}`,
    `name no other base for it, or use another instance`,
  );
}

export function checkInstanceDigest(id: string, instance: Generation, version: BaseVersion): void {
  if (instance.digest === version.manifest.digest) return;
  throw new VeneerError(
    "OTHER_CONTENT",
    `instance ${id} was made on another ${version.name}@${version.version} (${instance.digest}, now ${version.manifest.digest})`,
    { hint: "its changes may not fit: make a new instance, or restore the old base" },
  );
}

/** Throws when the instance's upper is in memory: `verb` needs one on disk. */
export function refuseTmpfs(id: string, instance: Instance, verb: string): void {
  if (instance.tmpfs === undefined) return;
  throw new VeneerError(
    "IN_MEMORY",
    `instance ${id} keeps its writes in memory: there is nothing to ${verb}`,
    {
      hint: "make an instance without --tmpfs",
    },
  );
}
