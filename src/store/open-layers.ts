/** What a plan needs to know about a version: its layers, open, and the contents of a fresh upper on them. */
import { withContext } from "../errors.ts";
import { expandAll, lookup, rootFact } from "../overlay/merged-lookup.ts";
import { upperEntries } from "../overlay/upper-entries.ts";
import { isErrno } from "../sys/errno.ts";
import { explainError } from "../sys/explain.ts";
import { type Fd, openCanonical, openDirectory } from "../sys/fd.ts";
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
 * Throws an error that names the layer when one is missing. A directory in place was named by its canonical path; who owns
 * a directory on the way could make a link of it, to files that the base does not have: that is an error too.
 */
export function openLayers(
  store: Store,
  base: BaseVersion,
  above: readonly string[] = [],
  copies: readonly string[] = layerPaths(store, base.manifest),
): OpenLayers {
  const paths = [...above, ...copies];
  const inPlace = new Set(base.manifest.layers.flatMap((layer) => ("path" in layer ? [layer.path] : [])));
  const open = openAll(paths, (path) => {
    const isShared = path.startsWith(`${SHARED}/`);
    const isExact = !isShared && inPlace.has(path);
    const why = (error: unknown) => {
      if (isShared) return "root no longer shares it";
      if (isExact && isErrno(error, "ELOOP", "ENOTDIR"))
        return "a link has taken its place, or that of a directory above it: import the base again";
      return explainError(error);
    };
    const openLayer = () => (isExact ? openCanonical(path) : openDirectory(path));
    return withContext(`layer of ${formatBaseRef(base)}`, openLayer, why);
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
