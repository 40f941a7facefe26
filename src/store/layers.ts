/** Layers: made in staging, sealed with a listing, published by rename, never changed afterwards. */
import { VeneerError } from "../errors.ts";
import validateLayer from "../generated/layer.js";
import { isErrno } from "../sys/errno.ts";
import { type Fd, fchmodat, flock, mkdirat, openat, rename, syncDirectory, syncfs } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_NB, LOCK_SH, O_DIRECTORY, O_RDONLY, RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { readDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";

/** layers/ID/layer.json */
export interface Layer {
  /** `sha256:…` of the listing, or for a layer of an image its diff_id: what version digests are made of */
  readonly digest: string;
  /** `sha256:…` of the listing */
  readonly listing?: string;
  /** on disk, when the layer was made, without what it shared */
  readonly bytes: number;
  /** of files that it had in common with other layers when it was made, or when they were last looked for */
  readonly shared?: number;
  readonly entries: number;
  /** ISO 8601 */
  readonly created: string;
  /** what made it */
  readonly origin: string;
}

/** A layer that is complete but not yet in layers/. */
export interface SealedLayer {
  readonly id: string;
  /** holds `tree`, `listing` and `layer.json` */
  readonly directory: string;
  readonly layer: Layer;
}

/**
 * Holds the layers against `gc` and `base rm`, which take the same lock exclusively: kept from before a layer
 * is published, or an unreferenced one is counted on, until the manifest that names it is published.
 * Undefined when `operation` has LOCK_NB and another holder is in the way.
 */
export function lockLayers(store: Store, operation = LOCK_SH): Fd | undefined {
  const path = paths.layers(store);
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (flock(fd.number, operation, path)) return fd;
  fd[Symbol.dispose]();
  if ((operation & LOCK_NB) !== 0) return undefined;
  throw new Error("unreachable: a lock that waits was refused");
}

/** The layer's description; undefined where there is no such layer. */
export function readLayer(store: Store, id: string): Layer | undefined {
  return readDocument<Layer>(paths.layerFile(store, id), validateLayer);
}

/** Like {@link readLayer}, and undefined for a damaged one: what looks through all layers is not kept from the others. */
export function readSoundLayer(store: Store, id: string): Layer | undefined {
  try {
    return readLayer(store, id);
  } catch {
    return undefined;
  }
}

/** Like {@link readLayer}; throws where there is none. */
export function requireLayer(store: Store, id: string): Layer {
  const layer = readLayer(store, id);
  if (layer) return layer;
  throw new VeneerError("NO_LAYER", `layer ${id} is not in ${paths.layers(store)}`, {
    hint: "restore it from a backup, or remove the versions that need it",
  });
}

/** Makes everything written to the store's file system so far durable (syncfs(2)). */
export function syncStore(store: Store): void {
  using fd = openat(AT_FDCWD, store.root, O_RDONLY | O_DIRECTORY);
  syncfs(fd.number, store.root);
}

/**
 * Publishes a sealed layer in one step; it is durable on return, provided that {@link syncStore} was called
 * since its tree was complete. The caller holds {@link lockLayers} until a manifest names the layer. When a layer of
 * this id is there already (the same layer of an image), that one is kept and the staged one left where it
 * is. Returns whether the staged one was taken.
 */
export function publishLayer(store: Store, sealed: Pick<SealedLayer, "id" | "directory">): boolean {
  try {
    rename(sealed.directory, paths.layer(store, sealed.id), RENAME_NOREPLACE);
  } catch (error) {
    if (isErrno(error, "EEXIST") || (isErrno(error, "ENOENT") && hasLayer(store, sealed.id))) return false;
    throw error;
  }
  syncDirectory(paths.layers(store));
  return true;
}

export function hasLayer(store: Store, id: string): boolean {
  return lstatMaybe(paths.layerFile(store, id)) !== undefined;
}

/** LAYER/tree, 0755 whatever the umask, for a tar that has no entry for the root. */
export function makeLayerDirectory(layer: string): void {
  mkdirat(AT_FDCWD, layer, 0o700);
  mkdirat(AT_FDCWD, `${layer}/tree`, 0o755);
  fchmodat(AT_FDCWD, `${layer}/tree`, 0o755);
}
