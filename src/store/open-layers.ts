/** What a plan needs to know about a version: its layers, open, and the contents of a fresh upper on them. */
import { withContext } from "../errors.ts";
import { expandAll, lookup, rootFact } from "../overlay/merged-lookup.ts";
import { upperEntries } from "../overlay/upper-entries.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { type OpenAll, openAll } from "../sys/files/open-all.ts";
import { formatBaseRef } from "../text/names.ts";
import { type BaseVersion, layerPaths } from "./bases.ts";
import type { Store } from "./paths.ts";
import { SHARED } from "./shared.ts";

export interface OpenLayers extends OpenAll {
  readonly paths: readonly string[];
}

/**
 * Opens the directories of the layers, top first: those in `above`, then `copies` if given, else the version's own.
 * Throws an error that names the layer when one is missing.
 */
export function openLayers(
  store: Store,
  base: BaseVersion,
  above: readonly string[] = [],
  copies: readonly string[] = layerPaths(store, base.manifest),
): OpenLayers {
  const paths = [...above, ...copies];
  const open = openAll(paths, (path) => {
    const noLonger = () => (path.startsWith(`${SHARED}/`) ? "root no longer shares it" : undefined);
    return withContext(`layer of ${formatBaseRef(base)}`, () => openDirectory(path), noLonger);
  });
  return { ...open, paths };
}

export interface UpperOptions {
  readonly opaque: readonly string[];
  readonly mask: readonly string[];
}

/** The contents of a fresh upper on these layers. */
export function freshUpper(layers: readonly Fd[], options: UpperOptions) {
  const opaque = options.opaque.map((path) => lookup(layers, path));
  const mask = expandAll(layers, options.mask).map((path) => lookup(layers, path));
  return { root: rootFact(layers), entries: upperEntries(opaque, mask) };
}
