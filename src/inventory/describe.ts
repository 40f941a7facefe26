/** Describes bases and their versions, for people and programs. */

import { type FailedVersion, type LayerRef, readVersion } from "../store/bases.ts";
import { type Layer, readLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { readSession } from "../store/sessions.ts";
import { isShared, storeOfBase } from "../store/shared.ts";
import { readShare } from "../store/shares.ts";
import { listVersions, readBaseFile } from "../store/versions.ts";
import type { BaseRef } from "../text/names.ts";
import { listUses } from "./uses.ts";

export interface LayerDescription {
  readonly id?: string;
  readonly path: string;
  readonly digest?: string;
  /** absent for a directory in place, and when the description of the layer is missing */
  readonly bytes?: number;
  /** bytes of files that are hard links to files of other layers */
  readonly shared?: number;
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
  /** of its layers in the store, including those that other versions use too */
  readonly bytes: number;
  /** top layer first */
  readonly layers: readonly LayerDescription[];
  readonly config?: object;
  readonly uses: readonly string[];
}

/** Throws when there is no such version. */
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
        ...(known.shared !== undefined && { shared: known.shared }),
        entries: known.entries,
        origin: known.origin,
      }),
    };
  });
  return {
    name,
    version,
    current: readBaseFile(storeOfBase(store, name), name)?.current ?? version,
    versions: listVersions(storeOfBase(store, name), name),
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

export interface LineEntry {
  readonly version: number;
  readonly current: boolean;
  /** when and why its check failed; absent: it did not */
  readonly failed?: FailedVersion;
  readonly created: string;
  /** of the layers that the previous version does not have; absent when one of them is a directory in place */
  readonly bytes?: number;
  readonly layers: number;
  readonly origin: string;
  readonly digest: string;
  readonly uses: readonly string[];
}

const layerKey = (layer: LayerRef) => ("id" in layer ? layer.id : layer.path);

/** All versions of a base, newest first. Throws when there is no such base. */
export function describeLine(store: Store, name: string): LineEntry[] {
  const holder = storeOfBase(store, name);
  const { current, failed } = readBaseFile(holder, name) ?? {
    current: readVersion(store, { name }).version,
    failed: undefined,
  };
  const uses = listUses(store, name);
  let below = new Set<string>();
  const entries = listVersions(holder, name).map((version): LineEntry => {
    const { manifest } = readVersion(store, { name, version });
    const keys = manifest.layers.map(layerKey);
    const { from } = manifest;
    if (below.size === 0 && from) below = new Set(readVersion(store, from).manifest.layers.map(layerKey));
    const own = manifest.layers.filter((_, index) => !below.has(keys[index] as string));
    below = new Set(keys);
    // another version of the same directory in place adds no layer, and its size is not known either
    const inPlace = (own.length > 0 ? own : manifest.layers.slice(0, 1)).some((layer) => !("id" in layer));
    const bytes = own.map((layer) => ("id" in layer ? (readLayer(store, layer.id)?.bytes ?? 0) : 0));
    return {
      version,
      current: version === current,
      ...(failed?.[version] && { failed: failed[version] }),
      created: manifest.created,
      ...(!inPlace && { bytes: bytes.reduce((sum, one) => sum + one, 0) }),
      layers: keys.length,
      origin: manifest.origin,
      digest: manifest.digest,
      uses: uses.filter((use) => use.version === version).map((use) => use.who),
    };
  });
  return entries.reverse();
}

export interface BaseSummary {
  readonly name: string;
  /** the current version */
  readonly version: number;
  readonly versions: number;
  /** of the current version */
  readonly layers: number;
  /** of all layers of all versions, each layer counted once */
  readonly bytes: number;
  /** of files of these layers that are stored once with those of other layers, and that `bytes` leaves out */
  readonly saved: number;
  readonly created: string;
  readonly origin: string;
  readonly editing: boolean;
  /** for root: whether it is shared with users; for a user: whether root shares it */
  readonly shared: boolean;
}

function sizes(layers: readonly (Layer | undefined)[]): Pick<BaseSummary, "bytes" | "saved"> {
  return {
    bytes: layers.reduce((sum, layer) => sum + (layer?.bytes ?? 0), 0),
    saved: layers.reduce((sum, layer) => sum + (layer?.shared ?? 0), 0),
  };
}

/** Summarizes a base in one row. Throws when the current version cannot be read. */
export function describeBase(store: Store, name: string): BaseSummary {
  const { version, manifest } = readVersion(store, { name });
  const versions = listVersions(storeOfBase(store, name), name);
  const layers = new Set<string>();
  for (const number of versions) {
    for (const layer of readVersion(store, { name, version: number }).manifest.layers) {
      if ("id" in layer) layers.add(layer.id);
    }
  }
  return {
    name,
    version,
    versions: versions.length,
    layers: manifest.layers.length,
    ...sizes([...layers].map((id) => readLayer(store, id))),
    created: manifest.created,
    origin: manifest.origin,
    editing: readSession(store, name) !== undefined,
    shared: isShared(store, name) || readShare(store, name) !== undefined,
  };
}
