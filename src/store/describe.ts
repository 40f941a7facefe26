/** Everything known about a version, for people and programs. */
import type { BaseRef } from "../names.ts";
import { readVersion } from "./bases.ts";
import { readLayer } from "./layers.ts";
import { paths, type Store } from "./paths.ts";
import { listUses } from "./uses.ts";
import { listVersions, readBaseFile } from "./versions.ts";

export interface LayerDescription {
  readonly id?: string;
  readonly path: string;
  readonly digest?: string;
  /** absent for a directory in place, and when the layer's description is gone */
  readonly bytes?: number;
  readonly entries?: number;
  readonly origin?: string;
}

export interface VersionDescription {
  readonly name: string;
  readonly version: number;
  readonly current: number;
  readonly versions: readonly number[];
  readonly created: string;
  readonly origin: string;
  readonly digest: string;
  readonly from?: { readonly name: string; readonly version: number };
  /** of its layers in the store, shared ones too */
  readonly bytes: number;
  /** top first */
  readonly layers: readonly LayerDescription[];
  readonly config?: object;
  readonly uses: readonly string[];
}

/** Throws where there is no such version. */
export function describeVersion(store: Store, ref: BaseRef): VersionDescription {
  const { name, version, manifest } = readVersion(store, ref);
  const layers = manifest.layers.map((layer): LayerDescription => {
    if (!("id" in layer)) return { path: layer.path };
    const { id } = layer;
    const known = readLayer(store, id);
    return {
      id,
      path: paths.layerTree(store, id),
      ...(known && {
        digest: known.digest,
        bytes: known.bytes,
        entries: known.entries,
        origin: known.origin,
      }),
    };
  });
  return {
    name,
    version,
    current: readBaseFile(store, name)?.current ?? version,
    versions: listVersions(store, name),
    created: manifest.created,
    origin: manifest.origin,
    digest: manifest.digest,
    ...(manifest.from && { from: manifest.from }),
    bytes: layers.reduce((sum, layer) => sum + (layer.bytes ?? 0), 0),
    layers,
    ...(manifest.config && { config: manifest.config }),
    uses: listUses(store, name)
      .filter((use) => use.version === version)
      .map((use) => use.who),
  };
}
