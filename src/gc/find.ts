/** Looks for what nothing uses any more. Changes nothing. */
import { VeneerError } from "../errors.ts";
import { makeLiveTest } from "../inventory/mounted.ts";
import { referencedLayers } from "../inventory/remove-base.ts";
import { type Instance, listInstances, readInstance } from "../store/instances.ts";
import { isAnyPartInUse } from "../store/mounts/in-use.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { ownerState } from "../store/owners.ts";
import { paths, type Store } from "../store/paths.ts";
import { findHolder, readRecord, type UseRecord } from "../store/records.ts";
import { allSessions, isLeft } from "../store/sessions.ts";
import { holdStaging } from "../store/staging.ts";
import { listBases, listVersions, manifestNumbers, namesIn } from "../store/versions.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { lstatMaybe } from "../sys/stat.ts";
import type { GcFacts } from "./plan.ts";

/** Seconds after which a file that a writer makes for a moment is taken for a killed writer's. */
const WRITER_AGE = 60;

/**
 * What is there comes before the records in each case: a start writes its record first, so what has none by
 * then has no owner. `report` is told what cannot be read; that is left alone. The caller holds the layers'
 * lock exclusively, or passes `withLayers` false.
 */
export function findGarbage(store: Store, withLayers: boolean, report: (error: unknown) => void): GcFacts {
  const mounts = overlaysBelow(store.run);
  const ephemerals = namesIn(paths.ephemerals(store));
  const configs = keysIn(`${store.run}/configs`);
  const { records, emptyRecords } = readRecords(store, report);
  const sessions = attempt(() => [...allSessions(store)], report) ?? [];
  const left = sessions.filter(([name, session]) => isLeft(store, name, session)).map(([name]) => name);
  const owned = new Set(records.map(({ ephemeral }) => ephemeral));
  const { isLive, isInUse } = makeLiveTest();
  return {
    mounts,
    ephemerals: ephemerals.map((id) => ({
      id,
      mounted: !owned.has(id) && isAnyPartInUse(paths.ephemeral(store, id), isInUse),
    })),
    configs,
    records: records.map((record) => ({ record, live: isLive(record) })),
    emptyRecords,
    staging: namesIn(paths.staging(store))
      .map((name) => `${paths.staging(store)}/${name}`)
      .filter(isAbandoned),
    layers: withLayers ? namesIn(paths.layers(store)) : [],
    neededLayers: withLayers ? attempt(() => referencedLayers(store, new Set(left)), report) : undefined,
    manifests: listBases(store).flatMap((base) => unfinished(store, base, report)),
    orphans: listInstances(store).filter((id) => attempt(() => isOrphan(store, id), report)),
    parts: listInstances(store).filter((id) => attempt(() => hasIdleParts(store, id, isLive), report)),
    generations: listInstances(store).flatMap(
      (id) => attempt(() => unknownGenerations(store, id), report) ?? [],
    ),
    sessions: sessions.filter(([name, session]) => isLeft(store, name, session)).map(([name]) => name),
    sessionMounts: new Set(sessions.map(([name]) => paths.editPoint(store, name))),
    files: leftFiles(store),
    namespaces: namesIn(paths.namespaces(store)),
    trash: namesIn(paths.trash(store)),
  };
}

function attempt<T>(action: () => T, report: (error: unknown) => void): T | undefined {
  try {
    return action();
  } catch (error) {
    report(error);
    return undefined;
  }
}

function keysIn(directory: string): string[] {
  return namesIn(directory).flatMap((name) => /^(.+)\.json$/.exec(name)?.[1] ?? []);
}

function readRecords(store: Store, report: (error: unknown) => void) {
  const records: UseRecord[] = [];
  const emptyRecords: string[] = [];
  for (const key of keysIn(paths.records(store))) {
    const record = attempt(() => readRecord(store, key), report);
    if (record) records.push(record);
    else if (lstatMaybe(paths.record(store, key))?.size === 0) emptyRecords.push(key);
  }
  return { records, emptyRecords };
}

/** Overlays in this mount namespace, innermost first. */
function overlaysBelow(directory: string): string[] {
  return parseMountinfo(readMountinfo("self") ?? "")
    .filter((mount) => mount.type === "overlay" && mount.target.startsWith(`${directory}/`))
    .map((mount) => mount.target)
    .reverse();
}

/** Taken for a moment only: whoever makes it holds it until it is published. */
function isAbandoned(path: string): boolean {
  using held = holdStaging(path);
  return held !== undefined;
}

function unfinished(store: Store, base: string, report: (error: unknown) => void) {
  return (
    attempt(() => {
      const published = new Set(listVersions(store, base));
      return manifestNumbers(store, base)
        .filter((version) => !published.has(version))
        .map((version) => ({ base, version }));
    }, report) ?? []
  );
}

/**
 * Whether the engine's container that an instance belongs to is gone, or the mount that it was made for; what nobody can
 * tell is an error.
 */
export function isOrphan(store: Store, id: string): boolean {
  const instance = readInstance(store, id);
  if (instance?.fresh) return isUnmounted(store, id, instance);
  const owner = instance?.owner;
  if (!owner) return false;
  const state = ownerState(owner);
  if (state !== "unknown") return state === "gone";
  throw new VeneerError("UNKNOWN_OWNER", `instance ${id}: ${owner.directory} cannot be looked for`, {
    hint: `Docker's data directory of that time is not mounted: mount it, or remove the instance with 'veneer rm ${id}'`,
  });
}

/** Between an instance and its mount are some milliseconds. */
function isUnmounted(store: Store, id: string, { created, generation }: Instance): boolean {
  if (Date.now() - Date.parse(created) < WRITER_AGE * 1000) return false;
  const holder = findHolder(store, id);
  if (holder && isLive(holder)) return false;
  return !isAnyPartInUse(paths.generation(store, id, generation));
}

function hasIdleParts(store: Store, id: string, test: (record: UseRecord) => boolean): boolean {
  const instance = readInstance(store, id);
  if (!instance) return false;
  const directories = [instance, ...(instance.kept ?? [])].map(({ generation }) =>
    paths.generation(store, id, generation),
  );
  if (!directories.some((directory) => lstatMaybe(`${directory}/parts`))) return false;
  const holder = findHolder(store, id);
  return !holder || !test(holder);
}

function unknownGenerations(store: Store, id: string) {
  const instance = readInstance(store, id);
  if (!instance) return [];
  const known = new Set([instance, ...(instance.kept ?? [])].map(({ generation }) => String(generation)));
  return namesIn(paths.instance(store, id))
    .filter((name) => /^[0-9]+$/.test(name) && !known.has(name))
    .map((generation) => ({ instance: id, generation }));
}

/** `base.json.0123456789ab` and the like (replaceFile in sys/fd.ts). */
function leftFiles(store: Store): string[] {
  const directories = [
    paths.records(store),
    `${store.run}/moving`,
    ...listBases(store).flatMap((name) => [
      paths.base(store, name),
      paths.versions(store, name),
      paths.rollout(store, name),
    ]),
    ...listInstances(store).map((id) => paths.instance(store, id)),
  ];
  const youngest = BigInt(Math.floor(Date.now() / 1000) - WRITER_AGE);
  return directories
    .flatMap((directory) => namesIn(directory).map((name) => `${directory}/${name}`))
    .filter(
      (path) =>
        /\.json\.[0-9a-f]{12}$/.test(path) && (lstatMaybe(path)?.mtime.seconds ?? youngest) < youngest,
    );
}
