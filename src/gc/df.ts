/** Sizes of everything in the store. */

import { makeLiveTest } from "../inventory/mounted.ts";
import { viewInstances } from "../inventory/view.ts";
import type { Progress } from "../process/progress.ts";
import { partsOnDisk } from "../store/in-use.ts";
import { readLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { listRecords } from "../store/records.ts";
import { allVersions } from "../store/versions.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { type Df, type DfFacts, diskFree } from "./df-figures.ts";
import { diskUsage } from "./empty-trash.ts";

/** Measures uppers and directories in place; what a layer of the store takes was noted when it was made. */
export async function measureStore(store: Store, progress: Progress): Promise<Df> {
  const versions = [...allVersions(store)].map(({ name, version, manifest }) => ({
    base: name,
    version,
    layers: manifest.layers.map((layer) => ("id" in layer ? layer.id : layer.path)),
  }));
  const uppers = [...namedUppers(store), ...containerUppers(store)];
  const layers = [...new Set(versions.flatMap((one) => one.layers))];
  const inPlace = layers.filter((id) => id.startsWith("/"));
  progress.step("measuring");
  const sizes = await diskUsage(
    [...uppers.flatMap(({ directories }) => directories), ...inPlace].filter(exists),
  );
  const facts: DfFacts = {
    versions,
    layers: new Map(
      layers.map((id) => {
        const place = id.startsWith("/");
        return [id, { bytes: (place ? sizes.get(id) : readLayer(store, id)?.bytes) ?? 0, inPlace: place }];
      }),
    ),
    uppers: uppers.map(({ directories, ...upper }) => ({
      ...upper,
      bytes: directories.reduce((total, path) => total + (sizes.get(path) ?? 0), 0),
    })),
  };
  return diskFree(facts);
}

function exists(path: string): boolean {
  return lstatMaybe(path) !== undefined;
}

interface Upper {
  readonly kind: "instance" | "container";
  readonly id: string;
  readonly base: string;
  readonly version: number;
  readonly directories: readonly string[];
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
    return [{ kind: "instance", id, base: instance.base, version: instance.version, directories }];
  });
}

function containerUppers(store: Store): Upper[] {
  const { isLive } = makeLiveTest();
  return listRecords(store)
    .filter((record) => record.ephemeral !== undefined && isLive(record))
    .map(({ container, key, base, version, upper, ephemeral }) => ({
      kind: "container",
      id: container ?? key,
      base,
      version,
      directories: upper === undefined ? [] : uppersOnDisk(paths.ephemeral(store, ephemeral as string)),
    }));
}
