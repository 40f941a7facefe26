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

/** The contents of bases/NAME/versions/N.json, which never change once published. */
export interface Manifest {
  /** top layer first */
  readonly layers: readonly LayerRef[];
  /** computed from the digests of the layers; an instance refuses a version that has its number and another digest */
  readonly digest: string;
  /** ISO 8601 */
  readonly created: string;
  /** where it comes from, for people to read */
  readonly origin: string;
  /** the config of the image: env, entrypoint, user */
  readonly config?: object;
  /** the version of another base from which this base was forked */
  readonly from?: { readonly name: string; readonly version: number };
}

/** The contents of bases/NAME/base.json, which decides what is published, whatever manifests lie in versions/. */
export interface BaseFile {
  readonly current: number;
  /** the highest version ever published; manifests with higher numbers are left over from interrupted publications */
  readonly last?: number;
  /** versions that failed their check, with the time (ISO 8601) and the reason */
  readonly failed?: Readonly<Record<string, FailedVersion>>;
  /** the last import of which no version was made, because its tree is this version's */
  readonly seen?: { readonly origin: string; readonly version: number };
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
 * Locks a base so that it is not removed: `base rm` takes the same lock exclusively. A start holds the lock from before
 * it reads the manifest until its record is written and its layers are mounted. Waits, unless `operation` has LOCK_NB.
 * A base that root shares can only be locked with LOCK_SH. Throws NO_BASE when there is no such base.
 */
export function lockBase(store: Store, ref: BaseRef, operation = LOCK_SH): Fd {
  const own = openatMaybe(AT_FDCWD, paths.base(store, ref.name), O_RDONLY | O_DIRECTORY);
  // a base that root shares is read-only, so nothing but a shared lock makes sense
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

/**
 * Resolves a reference to a version: in this store, else among the bases that root shares with this user. Throws
 * NO_BASE when there is none.
 */
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

/** The directory of each layer, top layer first. */
export function layerPaths(store: Store, manifest: Manifest): string[] {
  return manifest.layers.map((layer) => ("id" in layer ? paths.layerTree(store, layer.id) : layer.path));
}

function noSuchBase(store: Store, ref: BaseRef): VeneerError {
  return new VeneerError("NO_BASE", `no base ${formatBaseRef(ref)} in ${store.root}`, {
    hint: `'veneer base ls' lists the bases, 'veneer base import ${ref.name} SOURCE' makes one`,
  });
}
