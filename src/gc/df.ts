/** Sizes of everything in the store. */

import { makeLiveTest } from "../inventory/mounted.ts";
import { viewInstances } from "../inventory/view.ts";
import type { Progress } from "../process/progress.ts";
import { layerPaths } from "../store/bases.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { readLayer } from "../store/layers.ts";
import { partsOnDisk } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { listRecords } from "../store/records.ts";
import { allVersions } from "../store/versions.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { hiddenBytes, mergedBytes } from "./copy-size.ts";
import { type Df, type DfFacts, diskFree } from "./df-figures.ts";
import { diskUsage } from "./empty-trash.ts";

/** Measures uppers and directories in place; what a layer of the store takes was noted when it was made. */
export async function measureStore(store: Store, progress: Progress): Promise<Df> {
  const versions = [...allVersions(store)].map(({ name, version, manifest }) => ({
    base: name,
    version,
    layers: manifest.layers.map((layer) => ("id" in layer ? layer.id : layer.path)),
    trees: layerPaths(store, manifest),
  }));
  const uppers = [...namedUppers(store), ...containerUppers(store)];
  const layers = [...new Set(versions.flatMap((one) => one.layers))];
  const inPlace = layers.filter((id) => id.startsWith("/"));
  progress.step("measuring");
  const sizes = await diskUsage(
    [...uppers.flatMap(({ directories }) => directories), ...inPlace].filter(exists),
  );
  const sizeOf = (id: string) => (id.startsWith("/") ? sizes.get(id) : readLayer(store, id)?.bytes) ?? 0;
  const savedBy = (id: string) => (id.startsWith("/") ? 0 : (readLayer(store, id)?.shared ?? 0));
  const whole = (id: string) => sizeOf(id) + savedBy(id);
  const total = (directories: readonly string[]) =>
    directories.reduce((sum, path) => sum + (sizes.get(path) ?? 0), 0);
  const facts: DfFacts = {
    versions: versions.map(({ trees, ...one }) => ({
      ...one,
      merged: trees.length > 1 ? orZero(() => mergedBytes(trees)) : whole(one.layers[0] as string),
    })),
    layers: new Map(
      layers.map((id) => [id, { bytes: sizeOf(id), inPlace: id.startsWith("/"), saved: savedBy(id) }]),
    ),
    uppers: uppers.map(({ directories, used, ...upper }) => {
      const ground = versions.find(({ base, version }) => base === upper.base && version === upper.version);
      const hidden = orZero(() => hiddenBytes(used.filter(exists), ground?.trees ?? []));
      return { ...upper, bytes: total(directories), own: total(used), hidden };
    }),
  };
  return diskFree(facts);
}

/** What changes or goes while it is looked at counts nothing. */
function orZero(measure: () => number): number {
  try {
    return measure();
  } catch {
    return 0;
  }
}

function exists(path: string): boolean {
  return lstatMaybe(path) !== undefined;
}

interface Upper {
  readonly kind: "instance" | "container";
  readonly id: string;
  readonly base: string;
  readonly version: number;
  /** of all generations */
  readonly directories: readonly string[];
  /** of the generation in use, top first */
  readonly used: readonly string[];
}

/** Of all parts, merged ones too: what is in one alone is on disk until the container ends. du(1) counts links once. */
function uppersOnDisk(directory: string): string[] {
  return partsOnDisk(directory).map((part) => `${part}/upper`);
}

/** A damaged instance is left out: `ls` shows it. */
function namedUppers(store: Store): Upper[] {
  return viewInstances(store).flatMap(({ id, instance }) => {
    if (!instance) return [];
    const generations = [instance, ...(instance.kept ?? [])];
    const directories = generations.flatMap(({ generation }) =>
      uppersOnDisk(paths.generation(store, id, generation)),
    );
    const used = partUppers(paths.generation(store, id, instance.generation), instance);
    return [{ kind: "instance", id, base: instance.base, version: instance.version, directories, used }];
  });
}

function containerUppers(store: Store): Upper[] {
  const { isLive } = makeLiveTest();
  return listRecords(store)
    .filter((record) => record.ephemeral !== undefined && isLive(record))
    .map((record) => {
      const { container, key, base, version } = record;
      const directory = paths.ephemeral(store, record.ephemeral as string);
      const kept = record.upper !== undefined;
      return {
        kind: "container",
        id: container ?? key,
        base,
        version,
        directories: kept ? uppersOnDisk(directory) : [],
        used: kept ? partUppers(directory, record) : [],
      };
    });
}
