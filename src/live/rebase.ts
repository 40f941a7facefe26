/** Rebase and fallback of what a running container stands on. */

import { makePart } from "../instances/frozen-uppers-add.ts";
import { foldParts } from "../instances/frozen-uppers-merge.ts";
import { type Ground, onPart } from "../instances/generations.ts";
import { remainsInUse } from "../inventory/former-roots.ts";
import { hideMasked } from "../overlay/hide-masked.ts";
import { lookup, lookupName } from "../overlay/merged-lookup.ts";
import { type UpperEntry, upperEntries } from "../overlay/upper-entries.ts";
import { refuseInUse } from "../start/start.ts";
import type { BaseVersion } from "../store/bases.ts";
import { isFull, type Parts, partDirectories, partDirectory, partUppers } from "../store/frozen-uppers.ts";
import type { Instance } from "../store/instances.ts";
import { partsOnDisk } from "../store/mounts/in-use.ts";
import { freshUpper, type OpenLayers, openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import type { Record } from "../store/records.ts";
import { makeStaging } from "../store/staging.ts";
import { type Fd, openDirectory, syncDirectory } from "../sys/fd.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { findObstacles } from "./blockers.ts";
import type { Obstacle } from "./file-blockers.ts";
import { inspectLive } from "./inspect.ts";
import { PAUSE_LIMIT } from "./pause.ts";
import { exchangeRoot, type LiveReport } from "./switch-root.ts";

export interface LiveWishes {
  /** go on in spite of obstacles */
  readonly force: boolean;
  /** milliseconds in which the container may stand still */
  readonly pauseLimit?: number | undefined;
}

/** What runs, and the definition of its instance where it has a name of its own. */
export interface LiveTarget {
  readonly record: Record;
  readonly instance?: { readonly id: string; readonly definition: Instance };
}

/** Where the target's upper is, and in which parts. */
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
 * Puts a running container on another version: what it wrote so far becomes a layer, above which a fresh part is
 * written to. The caller holds the instance's lock and both bases. Returns with the container on the new root,
 * its definition durable; when it throws, all is as before.
 */
export function rebaseLive(
  store: Store,
  given: LiveTarget,
  base: BaseVersion,
  { force, pauseLimit = PAUSE_LIMIT }: LiveWishes,
): { report: LiveReport; instance?: Instance } {
  const container = inspectLive(given.record);
  const target = foldWhenFull(store, given);
  const { record, instance } = target;
  const { directory, parts } = uppersOf(store, target);
  const uppers = partUppers(directory, parts);
  using own = openAll(uppers);
  using folded = openAll(foldedUppers(directory, uppers));
  using layers = openLayers(store, base);
  const ground = { base: base.name, version: base.version, digest: base.manifest.digest };
  const number = (parts.parts ?? 0) + 1;
  const next = nextStates(target, ground, number, directory);
  const part = partDirectory(directory, number);
  const report = exchangeRoot(store, container, {
    verb: "rebase",
    layers: [...own.fds, ...layers.fds],
    parts: own.fds,
    folded: folded.fds,
    left: [],
    directory: part,
    make: () => {
      makePart(store, directory, number, uppers[0] as string);
      if (instance) hideNew(store, instance.definition.mask, own.fds, layers, `${part}/upper`);
      syncDirectory(`${directory}/parts`);
    },
    volatile: record.ephemeral !== undefined,
    ...next,
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

/** Uppers of parts that are there and not in use any more. */
function foldedUppers(directory: string, uppers: readonly string[]): string[] {
  const all = partsOnDisk(directory).map((part) => `${part}/upper`);
  return all.filter((upper) => !uppers.includes(upper) && lstatMaybe(upper));
}

/** Makes room for a further part. What is changed on disk shows the same to what says nothing of it. */
function foldWhenFull(store: Store, target: LiveTarget): LiveTarget {
  const { directory, parts } = uppersOf(store, target);
  if (!isFull(parts)) return target;
  const folded = foldParts(store, directory, parts);
  const { record, instance } = target;
  if (!instance) return { record: { ...record, ...folded } };
  return { record, instance: { id: instance.id, definition: { ...instance.definition, ...folded } } };
}

/** Obstacles to a rebase of what runs now, for a dry run. Throws where none is possible at all. */
export function liveObstacles(store: Store, target: LiveTarget): Obstacle[] {
  const container = inspectLive(target.record);
  const { directory, parts } = uppersOf(store, target);
  const uppers = partUppers(directory, parts);
  using own = openAll(uppers);
  using folded = openAll(foldedUppers(directory, uppers));
  return findObstacles(container, { parts: own.fds, folded: folded.fds, left: [] });
}

/**
 * Puts a running container on another generation of its instance, with that one's changes; the one that it
 * leaves is kept. While processes are still on an earlier root with that generation, its upper is in use: then
 * a further part of it is written to. The caller holds the instance's lock and both bases. Returns the new
 * definition too.
 */
export function fallBackLive(
  store: Store,
  record: Record,
  id: string,
  instances: { readonly before: Instance; readonly after: Instance },
  base: BaseVersion,
  { force, pauseLimit = PAUSE_LIMIT }: LiveWishes,
): { report: LiveReport; instance: Instance } {
  const { before } = instances;
  const container = inspectLive(record);
  const directory = paths.generation(store, id, instances.after.generation);
  const occupied = remainsInUse(record).some(
    ({ upper }) => upper === partUppers(directory, instances.after)[0],
  );
  if (!occupied) refuseInUse(id, partDirectories(directory, instances.after));
  const target = { record, instance: { id, definition: instances.after } };
  const after = (occupied ? foldWhenFull(store, target) : target).instance?.definition ?? instances.after;
  const uppers = partUppers(directory, after);
  const [top = "", ...lower] = uppers;
  const number = (after.parts ?? 0) + (occupied ? 1 : 0);
  using own = openAll(occupied ? uppers : lower);
  using folded = openAll(foldedUppers(directory, uppers));
  using left = openAll(partUppers(paths.generation(store, id, before.generation), before));
  using layers = openLayers(store, base);
  const instance = occupied ? onPart(after, after, number) : after;
  const part = partDirectory(directory, number);
  const report = exchangeRoot(store, container, {
    verb: "fallback",
    layers: [...own.fds, ...layers.fds],
    parts: occupied ? own.fds : [],
    folded: folded.fds,
    left: left.fds,
    directory: part,
    ...(occupied && { make: () => void makePart(store, directory, number, top) }),
    volatile: false,
    record: { ...record, base: after.base, version: after.version, upper: `${part}/upper` },
    instance: { id, before, after: instance },
    force,
    pauseLimit,
  });
  return { report, instance };
}

interface OpenAll extends Disposable {
  readonly fds: readonly Fd[];
}

function openAll(directories: readonly string[]): OpenAll {
  const fds: Fd[] = [];
  const close = () => {
    for (const fd of fds) fd[Symbol.dispose]();
  };
  try {
    for (const directory of directories) fds.push(openDirectory(directory));
  } catch (error) {
    close();
    throw error;
  }
  return { fds, [Symbol.dispose]: close };
}

/** Whiteouts in a fresh part for what the version has under masked names, where no part has something of its own. */
function hideNew(
  store: Store,
  mask: readonly string[],
  own: readonly Fd[],
  { fds }: OpenLayers,
  upper: string,
): void {
  if (mask.length === 0) return;
  const whiteouts = freshUpper(fds, { opaque: [], mask }).entries.filter(({ kind }) => kind === "whiteout");
  const hidden = whiteouts.filter(({ path }) => !isOwn(own, path));
  if (hidden.length === 0) return;
  // the directories above them with the attributes that the container sees
  const entries: UpperEntry[] = upperEntries(
    [],
    hidden.map(({ path }) => lookup([...own, ...fds], `/${path}`)),
  );
  using staging = makeStaging(store);
  hideMasked(upper, entries, staging.path);
}

function isOwn(own: readonly Fd[], path: string): boolean {
  const names = path.split("/");
  let holders = own;
  for (let depth = 1; depth <= names.length; depth++) {
    const found = lookupName(holders, names.slice(0, depth).join("/"));
    if (!found) return false;
    holders = found.layers;
  }
  return true;
}
