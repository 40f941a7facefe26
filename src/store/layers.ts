/** Layers: built in staging, sealed with a listing, published by rename, never changed afterwards. */
import { VeneerError } from "../errors.ts";
import validateLayer from "../generated/layer.js";
import { isErrno } from "../sys/errno.ts";
import { type Fd, fchmodat, flock, mkdirat, openat, rename, syncDirectory, syncfs } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_NB, LOCK_SH, O_DIRECTORY, O_RDONLY, RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { readDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";

/** The contents of layers/ID/layer.json. */
export interface Layer {
  /** `sha256:…` of the listing, or the diff_id of an image's layer; digests of versions are computed from it */
  readonly digest: string;
  /** `sha256:…` of the listing */
  readonly listing?: string;
  /** disk usage when the layer was created, without shared files */
  readonly bytes: number;
  /** bytes of files shared with other layers, when it was created or last deduplicated */
  readonly shared?: number;
  readonly entries: number;
  /** ISO 8601 */
  readonly created: string;
  /** where it comes from, for people to read */
  readonly origin: string;
}

/** A complete layer that is not in layers/ yet. */
export interface SealedLayer {
  readonly id: string;
  /** holds `tree`, `listing` and `layer.json` */
  readonly directory: string;
  readonly layer: Layer;
}

/**
 * Locks the layers so that `gc` and `base rm`, which take the same lock exclusively, do not remove any. Hold it from
 * before a layer is published, or an unreferenced one is relied on, until the manifest that names it is published.
 * Undefined when `operation` has LOCK_NB and another process holds the lock.
 */
export function lockLayers(store: Store, operation = LOCK_SH): Fd | undefined {
  const path = paths.layers(store);
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (flock(fd.number, operation, path)) return fd;
  fd[Symbol.dispose]();
  if ((operation & LOCK_NB) !== 0) return undefined;
  throw new Error("unreachable: a lock that waits was refused");
}

/** The description of a layer; undefined where there is no such layer. */
export function readLayer(store: Store, id: string): Layer | undefined {
  return readDocument<Layer>(paths.layerFile(store, id), validateLayer);
}

/** Like {@link readLayer}, but undefined for a damaged one too, so that it does not stop a walk through all layers. */
export function readSoundLayer(store: Store, id: string): Layer | undefined {
  try {
    return readLayer(store, id);
  } catch {
    return undefined;
  }
}

/** Like {@link readLayer}, but throws where there is no such layer. */
export function requireLayer(store: Store, id: string): Layer {
  const layer = readLayer(store, id);
  if (layer) return layer;
  throw new VeneerError("NO_LAYER", `layer ${id} is not in ${paths.layers(store)}`, {
    hint: "restore it from a backup, or remove the versions that need it",
  });
}

/** Makes all earlier writes to the store's file system durable (syncfs(2)). */
export function syncStore(store: Store): void {
  using fd = openat(AT_FDCWD, store.root, O_RDONLY | O_DIRECTORY);
  syncfs(fd.number, store.root);
}

/**
 * Publishes a sealed layer atomically. It is durable on return, provided that {@link syncStore} was called after its
 * tree was complete. The caller holds {@link lockLayers} until a manifest names the layer. When a layer with this id
 * exists already (the same layer of an image), it is kept and the staged one stays where it is. Returns whether the
 * staged one was published.
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

/** Creates LAYER/tree with mode 0755 whatever the umask, because a tar may have no entry for the root. */
export function makeLayerDirectory(layer: string): void {
  mkdirat(AT_FDCWD, layer, 0o700);
  mkdirat(AT_FDCWD, `${layer}/tree`, 0o755);
  fchmodat(AT_FDCWD, `${layer}/tree`, 0o755);
}
