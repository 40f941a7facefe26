/** Rebase and fallback of a running container. */

import { foldParts } from "../instances/fold-parts.ts";
import { makePart } from "../instances/frozen-uppers-add.ts";
import { type Ground, onPart } from "../instances/generations.ts";
import { formerRootsInUse } from "../inventory/former-roots.ts";
import { refuseInUse } from "../start/refuse-held.ts";
import type { BaseVersion } from "../store/bases.ts";
import {
  isFull,
  maskLayer,
  type Parts,
  partDirectories,
  partDirectory,
  partUppers,
} from "../store/frozen-uppers.ts";
import { type Instance, withMasks } from "../store/instances.ts";
import { maskedPaths } from "../store/masks.ts";
import { partsOnDisk } from "../store/mounts/in-use.ts";
import { openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { type Fd, syncDirectory } from "../sys/fd.ts";
import { openAll } from "../sys/files/open-all.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { findBlockers } from "./blockers.ts";
import type { Blocker } from "./file-blockers.ts";
import { findStale, type StaleUse } from "./find-stale.ts";
import { inspectLive } from "./inspect.ts";
import { whyNotMoved } from "./move-changes.ts";
import { PAUSE_LIMIT } from "./pause.ts";
import { changedUses } from "./stale.ts";
import { type LiveReport, lookFirst, switchRoot } from "./switch-root.ts";

export interface LiveOptions {
  /** go on in spite of blockers */
  readonly force: boolean;
  /** milliseconds for which the container may be paused */
  readonly pauseLimit?: number | undefined;
  /** patterns that the configuration masks */
  readonly mask: readonly string[];
  /** holds the bases of both roots, from when the container has been looked at until the definition names the new one */
  readonly hold: () => Disposable;
}

/** What runs, and the definition of its instance where that has a name of its own. */
export interface LiveTarget {
  readonly record: UseRecord;
  readonly instance?: { readonly id: string; readonly definition: Instance };
}

/** Where the target's upper is, and its parts. */
export function uppersOf(
  store: Store,
  { record, instance }: LiveTarget,
): { directory: string; parts: Parts } {
  if (instance) {
    const { id, definition } = instance;
    return { directory: paths.generation(store, id, definition.generation), parts: definition };
  }
  return { directory: paths.ephemeral(store, record.ephemeral as string), parts: record };
}

/**
 * Moves a running container onto another version: its upper so far becomes a layer, below a fresh part that takes new
 * writes. The caller holds the instance's lock or the ephemeral upper. On return the container runs
 * on the new root and its definition is durable; when it throws, nothing has changed.
 */
export function rebaseLive(
  store: Store,
  given: LiveTarget,
  base: BaseVersion,
  { force, pauseLimit = PAUSE_LIMIT, mask, hold }: LiveOptions,
): { report: LiveReport; instance?: Instance } {
  const container = inspectLive(given.record);
  const target = maskMore(foldWhenFull(store, given), mask);
  const { directory, parts } = uppersOf(store, target);
  const uppers = partUppers(directory, parts);
  using own = openAll(uppers);
  using folded = openAll(foldedUppers(directory, uppers));
  const look = lookFirst(container, { verb: "rebase", force, pauseLimit }, own.fds[0]);
  using bases = hold();
  using layers = openLayers(store, base);
  const ground = { base: base.name, version: base.version, digest: base.manifest.digest };
  const number = (parts.parts ?? 0) + 1;
  const next = nextStates(target, ground, number, directory);
  const part = partDirectory(directory, number);
  const report = switchRoot(store, container, look, {
    verb: "rebase",
    own: own.fds,
    version: layers.fds,
    masked: maskedPaths(layers.fds, next.record.mask ?? []),
    maskLayer: maskLayer(directory, number),
    parts: own.fds,
    folded: folded.fds,
    left: [],
    directory: part,
    make: () => {
      makePart(store, directory, number, uppers[0] as string);
      syncDirectory(`${directory}/parts`);
    },
    volatile: target.record.ephemeral !== undefined,
    ...next,
    written: () => bases[Symbol.dispose](),
    force,
    pauseLimit,
  });
  return { report, ...(next.instance && { instance: next.instance.after }) };
}

function nextStates({ record, instance }: LiveTarget, ground: Ground, number: number, directory: string) {
  const upper = `${partDirectory(directory, number)}/upper`;
  const { base, version } = ground;
  return {
    record: { ...record, base, version, upper, ...(!instance && { parts: number }) },
    ...(instance && {
      instance: {
        id: instance.id,
        before: instance.definition,
        after: onPart(instance.definition, ground, number),
      },
    }),
  };
}

/**
 * What the configuration masks by now, and what was masked when the container started, is hidden on every version.
 */
function maskMore({ record, instance }: LiveTarget, mask: readonly string[]): LiveTarget {
  const started = record.mask ?? [];
  if (!instance) return { record: { ...record, mask: [...new Set([...started, ...mask])] } };
  const definition = withMasks(instance.definition, started, mask);
  return { record: { ...record, mask: definition.mask }, instance: { id: instance.id, definition } };
}

/** Uppers of parts that exist and are no longer used. */
function foldedUppers(directory: string, uppers: readonly string[]): string[] {
  const all = partsOnDisk(directory).map((part) => `${part}/upper`);
  return all.filter((upper) => !uppers.includes(upper) && lstatMaybe(upper));
}

/** Makes room for a further part. The change on disk does not change what the target shows. */
function foldWhenFull(store: Store, target: LiveTarget): LiveTarget {
  const { directory, parts } = uppersOf(store, target);
  if (!isFull(parts)) return target;
  const folded = foldParts(store, directory, parts);
  const { record, instance } = target;
  if (!instance) return { record: { ...record, ...folded } };
  return { record, instance: { id: instance.id, definition: { ...instance.definition, ...folded } } };
}

/** What a rebase would meet, and what it could not keep. */
export interface LiveOutlook {
  readonly blockers: readonly Blocker[];
  /** by which processes would need a restart: what is on the old root and differs in the version */
  readonly stale: readonly StaleUse[];
  /** why the container's changes would stay in its old upper */
  readonly stays?: string;
}

/** What a rebase would meet now, for a dry run. Throws where none is possible at all. */
export function liveOutlook(store: Store, target: LiveTarget, base: BaseVersion): LiveOutlook {
  const container = inspectLive(target.record);
  const { directory, parts } = uppersOf(store, target);
  const uppers = partUppers(directory, parts);
  using own = openAll(uppers);
  using folded = openAll(foldedUppers(directory, uppers));
  const stays = whyNotMoved(container, own.fds[0] as Fd);
  const opened = { parts: own.fds, folded: folded.fds, left: [] };
  const { members, rootIds } = container;
  const left = findStale(members.pids, rootIds).filter(({ kind, path }) => path !== "/" || kind === "file");
  const before = [target.record, ...(target.record.remains ?? [])];
  return {
    blockers: findBlockers(container, opened, stays === undefined),
    stale: changedUses(store, { base: base.name, version: base.version }, before, left),
    ...(stays !== undefined && { stays }),
  };
}

/**
 * Moves a running container onto another generation of its instance, with that generation's changes; the one that it
 * leaves is kept. While processes are still on an earlier root with that generation, its upper is in use, so a
 * further part is made for new writes. The caller holds the instance's lock. Returns the new
 * definition too.
 */
export function fallBackLive(
  store: Store,
  record: UseRecord,
  id: string,
  instances: { readonly before: Instance; readonly after: Instance },
  base: BaseVersion,
  { force, pauseLimit = PAUSE_LIMIT, mask, hold }: LiveOptions,
): { report: LiveReport; instance: Instance } {
  const { before } = instances;
  const container = inspectLive(record);
  const directory = paths.generation(store, id, instances.after.generation);
  const occupied = formerRootsInUse(record).some(
    ({ upper }) => upper === partUppers(directory, instances.after)[0],
  );
  if (!occupied) refuseInUse(id, partDirectories(directory, instances.after));
  const target = maskMore({ record, instance: { id, definition: instances.after } }, mask);
  const { instance: next } = occupied ? foldWhenFull(store, target) : target;
  const after = next?.definition ?? instances.after;
  const uppers = partUppers(directory, after);
  const [top = "", ...lower] = uppers;
  const number = (after.parts ?? 0) + (occupied ? 1 : 0);
  using own = openAll(occupied ? uppers : lower);
  using folded = openAll(foldedUppers(directory, uppers));
  using left = openAll(partUppers(paths.generation(store, id, before.generation), before));
  const look = lookFirst(
    container,
    { verb: "fallback", force, pauseLimit },
    occupied ? own.fds[0] : undefined,
  );
  using bases = hold();
  using layers = openLayers(store, base);
  const instance = occupied ? onPart(after, after, number) : after;
  const part = partDirectory(directory, number);
  const report = switchRoot(store, container, look, {
    verb: "fallback",
    own: own.fds,
    version: layers.fds,
    masked: maskedPaths(layers.fds, after.mask),
    maskLayer: maskLayer(directory, number),
    parts: occupied ? own.fds : [],
    folded: folded.fds,
    left: left.fds,
    directory: part,
    ...(occupied && { make: () => void makePart(store, directory, number, top) }),
    volatile: false,
    record: {
      ...record,
      base: after.base,
      version: after.version,
      upper: `${part}/upper`,
      mask: after.mask,
    },
    instance: { id, before, after: instance },
    written: () => bases[Symbol.dispose](),
    force,
    pauseLimit,
  });
  return { report, instance };
}
