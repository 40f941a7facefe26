/** Cutover, fallback and rebase: an instance's definition and generations changed, replaced in one step. */
import { VeneerError } from "../errors.ts";
import type { Settings } from "../input/config.ts";
import { freshUpper, openLayers } from "../input/facts.ts";
import { rebaseFacts } from "../input/rebase-facts.ts";
import type { BaseRef } from "../names.ts";
import { cutOver, dropGeneration, fallBack, rebased } from "../plan/generations.ts";
import { type Conflict, conflicts } from "../plan/rebase.ts";
import { type BaseVersion, lockBase, readVersion } from "../store/bases.ts";
import {
  checkInstanceDigest,
  type Generation,
  type Instance,
  requireInstance,
  requireLock,
  writeInstance,
} from "../store/instances.ts";
import { partsOnDisk } from "../store/liveness.ts";
import { paths, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { moveToTrash } from "../store/trash.ts";
import { type Fd, openDirectory, rename } from "../sys/fd.ts";
import { RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { changeUnmounted } from "./change-unmounted.ts";
import { hideMasked } from "./hide-masked.ts";
import { refuseInUse } from "./start.ts";
import { makeUpper } from "./upper.ts";

/**
 * Gives the instance a fresh upper on another version. The generation before is kept with all its changes.
 * Durable on return; a kill in between leaves the old state. Returns the new definition.
 */
export function cutover(settings: Settings, id: string, ref: BaseRef): Instance {
  const { store } = settings;
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  using _baseLock = lockBase(store, ref);
  const base = readVersion(store, ref);
  const next = cutOver(instance, groundOf(base), new Date().toISOString());
  return changeUnmounted(settings, id, instance, () => {
    makeGeneration(store, id, next, base);
    return publish(store, id, next);
  });
}

function groundOf({ name, version, manifest }: BaseVersion) {
  return { base: name, version, digest: manifest.digest };
}

function publish(store: Store, id: string, instance: Instance): Instance {
  writeInstance(store, id, instance);
  return instance;
}

/** The generation's directory with a fresh upper. What a killed cutover left under its number is removed. */
function makeGeneration(store: Store, id: string, next: Instance, base: BaseVersion): void {
  using layers = openLayers(store, base);
  using staging = makeStaging(store);
  {
    using directory = openDirectory(staging.path);
    const fresh = freshUpper(layers.fds, next);
    if (next.tmpfs === undefined) makeUpper(directory, fresh.root, fresh.entries);
  }
  const place = paths.generation(store, id, next.generation);
  if (lstatMaybe(place)) moveToTrash(store, place);
  rename(staging.path, place, RENAME_NOREPLACE);
}

/**
 * Takes the instance back to an earlier generation with its changes, or to the one that is `wanted`; the one
 * that is left is kept too. Durable on return; a kill in between leaves the old state.
 */
export function fallback(settings: Settings, id: string, wanted?: number): Instance {
  const { store } = settings;
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  const next = fallBack(id, instance, wanted);
  using _baseLock = lockBase(store, refOf(next));
  requireGround(store, id, next);
  return changeUnmounted(settings, id, instance, () => publish(store, id, next));
}

function refOf({ base: name, version }: Generation): BaseRef {
  return { name, version };
}

/** The version that a generation stands on, which must be there and hold what it held. */
function requireGround(store: Store, id: string, generation: Generation): BaseVersion {
  const base = readVersion(store, refOf(generation));
  checkInstanceDigest(id, generation, base);
  openLayers(store, base)[Symbol.dispose]();
  return base;
}

export interface RebaseResult {
  readonly before: BaseRef;
  readonly after: BaseRef;
  readonly conflicts: readonly Conflict[];
  /** the new definition; undefined when nothing was changed */
  readonly instance?: Instance;
}

/**
 * Puts the instance's changes on another version and tells where they hide one of that version's. Files of
 * that version that the instance's masks name are hidden. Durable on return; a kill in between leaves the old
 * state. With `dryRun`, and for the version that it is on, nothing is changed: that may run meanwhile.
 */
export function rebase(settings: Settings, id: string, ref: BaseRef, dryRun: boolean): RebaseResult {
  const { store } = settings;
  using _lock = dryRun ? undefined : requireLock(store, id);
  const instance = requireInstance(store, id);
  using _baseLock = lockBase(store, ref);
  const base = readVersion(store, ref);
  const result = { before: refOf(instance), after: { name: base.name, version: base.version } };
  if (instance.base === base.name && instance.version === base.version) {
    checkInstanceDigest(id, instance, base);
    return { ...result, conflicts: [] };
  }
  using layers = openLayers(store, base);
  const all = findConflicts(store, id, instance, layers.fds);
  if (dryRun) return { ...result, conflicts: all };
  const changed = changeUnmounted(settings, id, instance, () => {
    if (instance.tmpfs === undefined) {
      const { entries } = freshUpper(layers.fds, { opaque: [], mask: instance.mask });
      using staging = makeStaging(store);
      hideMasked(`${paths.generation(store, id, instance.generation)}/upper`, entries, staging.path);
    }
    return publish(store, id, rebased(instance, groundOf(base)));
  });
  return { ...result, conflicts: all, instance: changed };
}

function findConflicts(store: Store, id: string, instance: Instance, after: readonly Fd[]): Conflict[] {
  const ground = readVersion(store, refOf(instance));
  checkInstanceDigest(id, instance, ground);
  if (instance.tmpfs !== undefined) return [];
  using before = openLayers(store, ground);
  const upper = `${paths.generation(store, id, instance.generation)}/upper`;
  return conflicts(rebaseFacts(upper, before.fds, after, freshUpper(after, instance).entries));
}

/** Removes a kept generation with its changes; returns where it is in the trash. */
export function removeGeneration(store: Store, id: string, number: number): string | undefined {
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  const next = dropGeneration(id, instance, number);
  refuseInUse(id, partsOnDisk(paths.generation(store, id, number)));
  writeInstance(store, id, next);
  return moveToTrash(store, paths.generation(store, id, number));
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
