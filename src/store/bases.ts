/** Bases and their versions, as far as a start needs them. */
import { VeneerError } from "../errors.ts";
import validateBase from "../generated/base.js";
import validateManifest from "../generated/manifest.js";
import { type Fd, flock, openatMaybe } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_SH, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { readDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";
import { storeOfBase } from "./shared.ts";

export type LayerRef = { readonly id: string } | { readonly path: string };

/** bases/NAME/versions/N.json; never changed once published. */
export interface Manifest {
  /** top layer first */
  readonly layers: readonly LayerRef[];
  /** of the version: of its layers' digests; an instance is refused on another version of the same number */
  readonly digest: string;
  /** ISO 8601 */
  readonly created: string;
  /** what made it */
  readonly origin: string;
  /** an image's config: env, entrypoint, user */
  readonly config?: object;
  /** version of another base that this line stands on */
  readonly from?: { readonly name: string; readonly version: number };
}

/** bases/NAME/base.json: what it says counts, whatever manifests lie in versions/ */
export interface BaseFile {
  readonly current: number;
  /** highest version ever published; a manifest above it was left by a publication that did not finish */
  readonly last?: number;
  /** versions whose check failed: when (ISO 8601), and why */
  readonly failed?: Readonly<Record<string, FailedVersion>>;
}

export interface FailedVersion {
  readonly at: string;
  readonly why: string;
}

export interface BaseVersion {
  readonly name: string;
  readonly version: number;
  readonly manifest: Manifest;
}

/**
 * Holds a base against removal: `base rm` takes the same lock exclusively. A start keeps it from before the
 * manifest is read until its record is written and its layers are mounted. Throws when there is no such base.
 */
export function lockBase(store: Store, ref: BaseRef, operation = LOCK_SH): Fd {
  const own = openatMaybe(AT_FDCWD, paths.base(store, ref.name), O_RDONLY | O_DIRECTORY);
  // one that root shares is read only
  const fd = own ?? (operation === LOCK_SH ? openShared(store, ref) : undefined);
  if (!fd) throw noSuchBase(store, ref);
  try {
    flock(fd.number, operation, paths.base(store, ref.name));
  } catch (error) {
    fd[Symbol.dispose]();
    throw error;
  }
  return fd;
}

function openShared(store: Store, ref: BaseRef): Fd | undefined {
  const shared = storeOfBase(store, ref.name);
  if (shared === store) return undefined;
  return openatMaybe(AT_FDCWD, paths.base(shared, ref.name), O_RDONLY | O_DIRECTORY);
}

/** The version that a reference means now: of the store, else of a base that root shares with this user. */
export function readVersion(store: Store, ref: BaseRef): BaseVersion {
  return readOwn(storeOfBase(store, ref.name), ref);
}

function readOwn(store: Store, ref: BaseRef): BaseVersion {
  const base = readDocument<BaseFile>(paths.baseFile(store, ref.name), validateBase);
  const version = ref.version ?? base?.current;
  if (!base || version === undefined || version > (base.last ?? version)) throw noSuchBase(store, ref);
  const manifest = readDocument<Manifest>(paths.manifest(store, ref.name, version), validateManifest);
  if (!manifest) throw noSuchBase(store, { ...ref, version });
  return { name: ref.name, version, manifest };
}

/** Directory of each layer, top layer first. */
export function layerPaths(store: Store, manifest: Manifest): string[] {
  return manifest.layers.map((layer) => ("id" in layer ? paths.layerTree(store, layer.id) : layer.path));
}

function noSuchBase(store: Store, ref: BaseRef): VeneerError {
  return new VeneerError("NO_BASE", `no base ${formatBaseRef(ref)} in ${store.root}`, {
    hint: `'veneer base ls' lists the bases, 'veneer base import ${ref.name} SOURCE' makes one`,
  });
}
