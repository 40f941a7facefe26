/** Named instances: a definition and, for each generation, an upper and a work directory. */
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

/** An upper, which may be in several parts, and the version below it. */
export interface Generation extends Parts {
  readonly base: string;
  readonly version: number;
  /** of the version that it was made on */
  readonly digest: string;
  readonly generation: number;
  /** the generation that it took the place of, to which a fallback leads */
  readonly previous?: number;
  /** ISO 8601: when it was made */
  readonly since?: string;
  /** it was made ahead of a cutover and never in use */
  readonly prepared?: boolean;
}

/** The definition, with the generation in use. */
export interface Instance extends Generation {
  /** ISO 8601 */
  readonly created: string;
  /** decided when the upper is made; a later start leaves them as the container left them */
  readonly opaque: readonly string[];
  /** patterns of what it may not see of any version: what the configuration masks is added at each mount */
  readonly mask: readonly string[];
  /** bytes of an upper in memory, made anew at each start */
  readonly tmpfs?: number;
  /** made for one mount by hand: it goes with that */
  readonly fresh?: boolean;
  /** the engine's container with which it goes; absent: it is removed by hand */
  readonly owner?: Owner;
  /** absent: made by version 0.1 */
  readonly maker?: Maker;
  /** where it was mounted by hand: `mount --all` brings it back */
  readonly mounted?: { readonly target: string; readonly suid?: boolean; readonly dev?: boolean };
  /** generations that are not in use, with all their changes */
  readonly kept?: readonly Generation[];
}

/** The definition of an instance that is made on a version now. `now` is ISO 8601. */
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

/** The definition with further masks: one that was given once is not taken back. The same object where none is new. */
export function withMasks(instance: Instance, ...masks: readonly (readonly string[])[]): Instance {
  const mask = [...new Set([...instance.mask, ...masks.flat()])];
  return mask.length === instance.mask.length ? instance : { ...instance, mask };
}

/** Ids of all named instances, sorted. */
export function listInstances(store: Store): string[] {
  try {
    return list(paths.instances(store)).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** The instance's definition, or undefined where there is none of that name. */
export function readInstance(store: Store, id: string): Instance | undefined {
  const hint = `restore that file, or remove the instance with its changes: 'veneer rm ${id}'`;
  return readDocument<Instance>(paths.instanceFile(store, id), validateInstance, hint);
}

/** Like {@link readInstance}; throws where there is none. */
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

/** Publishes a changed definition. Durable on return; the caller holds the instance's lock. */
export function writeInstance(store: Store, id: string, instance: Instance): void {
  writeDocument(paths.instanceFile(store, id), instance, { sync: true });
}

/**
 * Takes an instance for a change or a start; undefined where there is no such instance. Another holder is an
 * error that says so, unless `wait`; a merge in the background is ended, unless this is another (`merge`).
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
    // what was locked may have been removed, and another made in its place, before the lock was ours
    if (lstatMaybe(path)?.ino === fstat(fd.number).ino) return fd;
    fd[Symbol.dispose]();
  }
}

/** Milliseconds in which most merges of parts end by themselves, and for one to give way, which looks up often. */
const MERGE_END = 300;
const MERGE_STOP = 10_000;

/** Takes the lock over from a merge in the background (`mergeInstance`); false where another holds it. */
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

/** Like {@link lockInstance}; throws where there is no such instance. */
export function requireLock(store: Store, id: string): Fd {
  const fd = lockInstance(store, id);
  if (fd) return fd;
  throw noSuchInstance(store, id);
}

/** Refuses a base that the instance is not on, and a version of the same number with another content. */
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

/** For a verb that needs an upper on disk. */
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
