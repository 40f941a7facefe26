/** Cutover, fallback and rebase: they replace an instance's definition in one step. */
import { mergedInstance } from "../instances/frozen-uppers-merge.ts";
import { cutOver, fallBack, findPrepared, prepare, rebased } from "../instances/generations.ts";
import { checkLxcFits } from "../instances/lxc-mount.ts";
import { changeUnmounted } from "../instances/while-unmounted.ts";
import {
  fallBackLive,
  type LiveOptions,
  type LiveOutlook,
  type LiveTarget,
  liveOutlook,
  rebaseLive,
} from "../live/rebase.ts";
import { recoverOne } from "../live/recover.ts";
import type { LiveReport } from "../live/switch-root.ts";
import { makeUpper } from "../overlay/make-upper.ts";
import type { Settings } from "../request/config.ts";
import { type BaseVersion, lockBase, readVersion } from "../store/bases.ts";
import {
  checkInstanceDigest,
  type Generation,
  type Instance,
  noSuchInstance,
  requireInstance,
  requireLock,
  withMasks,
  writeInstance,
} from "../store/instances.ts";
import { hideInInstance } from "../store/masks.ts";
import { freshUpper, openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { findHolder } from "../store/records.ts";
import { makeStaging } from "../store/staging.ts";
import { moveToTrash } from "../store/trash.ts";
import { openDirectory, rename } from "../sys/fd.ts";
import { RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import type { BaseRef } from "../text/names.ts";
import type { Conflict } from "./conflicts.ts";
import { findConflicts } from "./find-conflicts.ts";
import { holdBases, requireSame } from "./hold-bases.ts";
import { findTarget, holdTarget, liveHolder } from "./target.ts";

/**
 * Gives the instance a fresh upper on another version. Keeps the former generation with all its changes. Durable on
 * return; a kill midway leaves the old state. Returns the new definition.
 */
export function cutover(settings: Settings, id: string, ref: BaseRef): Instance {
  const { store } = settings;
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  using _baseLock = lockBase(store, ref);
  const base = readVersion(store, ref);
  const masked = withMasks(instance, settings.config.mask);
  const next = cutOver(masked, groundOf(base), new Date().toISOString());
  checkLxcFits(store, id, next, base);
  const prepared = findPrepared(instance, groundOf(base));
  return changeUnmounted(settings, id, instance, () => {
    if (prepared) hideInInstance(store, id, next, base);
    else makeGeneration(store, id, next, next.generation, base);
    return publish(store, id, next);
  });
}

/**
 * Makes the generation for a later cutover onto a version, or finds the one that was made before; the current one
 * stays in use. Durable on return. Returns its number.
 */
export function prepareCutover(settings: Settings, id: string, ref: BaseRef): number {
  const { store } = settings;
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  using _baseLock = lockBase(store, ref);
  const base = readVersion(store, ref);
  const there = findPrepared(instance, groundOf(base));
  if (there) return there.generation;
  const made = prepare(instance, groundOf(base), new Date().toISOString());
  makeGeneration(store, id, withMasks(instance, settings.config.mask), made.generation, base);
  publish(store, id, made.instance);
  return made.generation;
}

function groundOf({ name, version, manifest }: BaseVersion) {
  return { base: name, version, digest: manifest.digest };
}

function publish(store: Store, id: string, instance: Instance): Instance {
  writeInstance(store, id, instance);
  return instance;
}

/** Makes the generation's directory with a fresh upper. Removes what a killed cutover left under its number. */
function makeGeneration(
  store: Store,
  id: string,
  definition: Instance,
  generation: number,
  base: BaseVersion,
): void {
  using layers = openLayers(store, base);
  using staging = makeStaging(store);
  {
    using directory = openDirectory(staging.path);
    const fresh = freshUpper(layers.fds, definition);
    if (definition.tmpfs === undefined) makeUpper(directory, fresh.root, fresh.entries);
  }
  const place = paths.generation(store, id, generation);
  if (lstatMaybe(place)) moveToTrash(store, place);
  rename(staging.path, place, RENAME_NOREPLACE);
}

/**
 * Returns the instance to an earlier generation with its changes, or to the generation `wanted`; the one that it
 * leaves is kept too. Durable on return; a kill midway leaves the old state.
 */
export function fallback(
  settings: Settings,
  id: string,
  wanted?: number,
  live: Partial<Omit<LiveOptions, "hold">> = {},
): { readonly instance: Instance; readonly live?: LiveReport } {
  const { store } = settings;
  using _lock = requireLock(store, id);
  recoverOne(store, findHolder(store, id)?.key);
  const instance = requireInstance(store, id);
  const next = withMasks(fallBack(id, instance, wanted), settings.config.mask);
  const base = requireGround(store, id, next);
  checkLxcFits(store, id, next, base);
  const hold = () => holdBases(store, refOf(instance), base);
  const holder = liveHolder(store, id);
  if (!holder) {
    using _bases = hold();
    const change = () => {
      hideInInstance(store, id, next, base);
      return publish(store, id, next);
    };
    return { instance: changeUnmounted(settings, id, instance, change) };
  }
  const wishes = { force: false, ...live, mask: settings.config.mask, hold };
  const done = fallBackLive(store, holder, id, { before: instance, after: next }, base, wishes);
  return { instance: done.instance, live: done.report };
}

function refOf({ base: name, version }: Pick<Generation, "base" | "version">): BaseRef {
  return { name, version };
}

/** The version that a generation stands on. Throws where it is gone or no longer holds the same layers. */
function requireGround(store: Store, id: string, generation: Generation): BaseVersion {
  const base = readVersion(store, refOf(generation));
  checkInstanceDigest(id, generation, base);
  openLayers(store, base)[Symbol.dispose]();
  return base;
}

export interface RebaseOptions {
  /** change nothing; also while it is in use */
  readonly dryRun?: boolean;
  /** go on in spite of open files that block a live rebase */
  readonly force?: boolean;
  /** milliseconds for which a container may be paused */
  readonly pauseLimit?: number | undefined;
}

export interface RebaseResult {
  readonly before: BaseRef;
  readonly after: BaseRef;
  readonly conflicts: readonly Conflict[];
  /** whether it is on another version now */
  readonly rebased: boolean;
  /** the new definition; undefined when nothing has changed, and for a container without an instance */
  readonly instance?: Instance;
  /** for a container that was running */
  readonly live?: LiveReport;
  /** for a dry run on a running container */
  readonly outlook?: LiveOutlook;
}

/**
 * Puts the instance's changes on another version and reports where they hide what that version has. Files of the
 * version that the instance's masks or the configuration name are hidden. A running container keeps running
 * (live/rebase.ts). Durable on return; a kill midway leaves the old state, or for a running container what
 * live/recover.ts makes of it. With `dryRun`, and for the version that it is on, nothing changes. `id` may also be a
 * running container that has no named instance.
 */
export function rebase(
  settings: Settings,
  id: string,
  ref: BaseRef,
  { dryRun = false, force = false, pauseLimit }: RebaseOptions = {},
): RebaseResult {
  const { store } = settings;
  using held = dryRun ? undefined : holdTarget(store, id);
  const target = held?.target ?? findTarget(store, id);
  const before = target.instance?.definition ?? target.record;
  if (!before) throw noSuchInstance(store, id);
  // what follows takes as long as the instance is large: nobody who wants the base waits for that
  const base = readVersion(store, ref);
  const result = { before: refOf(before), after: { name: base.name, version: base.version } };
  if (before.base === base.name && before.version === base.version) {
    if (target.instance) checkInstanceDigest(id, target.instance.definition, base);
    return { ...result, conflicts: [], rebased: false };
  }
  const all = conflictsOn(store, id, target, base);
  const hold = () => holdBases(store, refOf(before), base);
  if (dryRun) {
    const outlook = target.record && liveOutlook(store, { ...target, record: target.record }, base);
    requireSame(store, base);
    return { ...result, conflicts: all, rebased: false, ...(outlook && { outlook }) };
  }
  if (target.record) {
    const live = { ...target, record: target.record };
    const { mask } = settings.config;
    const { report, instance } = rebaseLive(store, live, base, { force, pauseLimit, mask, hold });
    return { ...result, conflicts: all, rebased: true, live: report, ...(instance && { instance }) };
  }
  using _bases = hold();
  const instance = withMasks(target.instance?.definition as Instance, settings.config.mask);
  checkLxcFits(store, id, rebased(instance, groundOf(base)), base);
  const changed = changeUnmounted(settings, id, instance, () => {
    const next = rebased(mergedInstance(store, id, instance), groundOf(base));
    hideInInstance(store, id, next, base);
    return publish(store, id, next);
  });
  return { ...result, conflicts: all, rebased: true, instance: changed };
}

/** Read without locks: who holds the bases afterwards looks whether they are still there. */
function conflictsOn(store: Store, id: string, target: Partial<LiveTarget>, base: BaseVersion): Conflict[] {
  using layers = openLayers(store, base);
  return findConflicts(store, id, target, layers.fds);
}
