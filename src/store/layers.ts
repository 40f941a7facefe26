/** Layers: made in staging, sealed with a listing, published by rename, never changed afterwards. */
import { VeneerError } from "../errors.ts";
import validateLayer from "../generated/layer.js";
import { isErrno } from "../sys/errno.ts";
import {
  type Fd,
  fchmodat,
  flock,
  fsync,
  mkdirat,
  openat,
  rename,
  syncDirectory,
  syncfs,
  uniqueSuffix,
  writeAll,
} from "../sys/fd.ts";
import {
  AT_FDCWD,
  LOCK_NB,
  LOCK_SH,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  RENAME_NOREPLACE,
  S_IFREG,
} from "../sys/flags.ts";
import { isType, lstatMaybe } from "../sys/stat.ts";
import { readDocument, writeDocument } from "./document.ts";
import { listTree } from "./listing.ts";
import { paths, type Store } from "./paths.ts";
import { listingFile, sumFiles, sumsFile } from "./sums.ts";

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

/** Like {@link readLayer}; throws where there is none. */
export function requireLayer(store: Store, id: string): Layer {
  const layer = readLayer(store, id);
  if (layer) return layer;
  throw new VeneerError("NO_LAYER", `layer ${id} is not in ${paths.layers(store)}`, {
    hint: "restore it from a backup, or remove the versions that need it",
  });
}

export interface SealOptions {
  /** what made it */
  readonly origin: string;
  /** default: a new random one; `sha256-…` of its diff_id for a layer of an image */
  readonly id?: string;
  /** default: of the listing */
  readonly digest?: string;
  /** default: all that the tree takes on disk; less for one that shares files with other layers */
  readonly bytes?: number;
  /** of these bytes, those of files that other layers have too */
  readonly shared?: number;
}

/** Bytes up to which a layer's files are digested when it is made: some 50 ms. A larger one's at its first verification. */
const SUM_AT_ONCE = 64 * 2 ** 20;

/**
 * Writes `listing` and `layer.json`, for a small layer `sums` too, beside `tree` in a directory on the store's
 * file system (a staging directory, say). The tree must not change any more. Takes about 10 s for a million
 * entries. What it writes is durable on return, the tree is not: {@link syncStore} or sync -f, before or after.
 * Idempotent.
 */
export function sealLayer(directory: string, options: SealOptions): SealedLayer {
  const lines: string[] = [];
  let content = 0;
  const { entries, bytes } = listTree(`${directory}/tree`, (_path, line, stat) => {
    // holes are read too: a sparse file may have any size
    if (isType(stat, S_IFREG)) content += stat.size;
    lines.push(line);
  });
  const listing = writeLines(listingFile(directory), lines);
  if (content <= SUM_AT_ONCE) {
    const sums: string[] = [];
    sumFiles(directory, lines, (line) => sums.push(line));
    writeLines(sumsFile(directory), sums);
  }
  const layer: Layer = {
    digest: options.digest ?? listing,
    listing,
    bytes: options.bytes ?? bytes - (options.shared ?? 0),
    ...(options.shared && { shared: options.shared }),
    entries,
    created: new Date().toISOString(),
    origin: options.origin,
  };
  writeDocument(`${directory}/layer.json`, layer, { sync: true });
  return { id: options.id ?? uniqueSuffix(), directory, layer };
}

/** Publishes a file of lines, durable on return; returns its digest, `sha256:…`. */
export function writeLines(path: string, lines: readonly string[]): string {
  const temporary = `${path}.${uniqueSuffix()}`;
  const hash = new Bun.CryptoHasher("sha256");
  const encoder = new TextEncoder();
  {
    using file = openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    for (let at = 0; at < lines.length; at += 1000) {
      const bytes = encoder.encode(`${lines.slice(at, at + 1000).join("\n")}\n`);
      hash.update(bytes);
      writeAll(file.number, bytes, temporary);
    }
    fsync(file.number, temporary);
  }
  rename(temporary, path);
  return `sha256:${hash.digest("hex")}`;
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
