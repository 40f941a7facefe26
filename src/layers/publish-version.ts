/** Publishes a version of a base from published layers. */
import { VeneerError } from "../errors.ts";
import type { BaseVersion, LayerRef, Manifest } from "../store/bases.ts";
import { writeDocument } from "../store/document.ts";
import { requireLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { changeBase, manifestNumbers, readBaseFile, requireCurrent } from "../store/versions.ts";
import { isErrno } from "../sys/errno.ts";
import { mkdirat, mkdirMaybe, rename, syncDirectory } from "../sys/fd.ts";
import { AT_FDCWD, RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";

/** Computes the digest of a version from its layers and their digests. */
export function versionDigest(store: Store, layers: readonly LayerRef[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const layer of layers) {
    hash.update("id" in layer ? `${requireLayer(store, layer.id).digest}\n` : `in place:${layer.path}\n`);
  }
  return `sha256:${hash.digest("hex")}`;
}

export interface VersionContent extends Pick<Manifest, "origin" | "config" | "from"> {
  /** top layer first; those in the store are published, and the caller has held {@link lockLayers} since before that */
  readonly layers: readonly LayerRef[];
  /** keeps the current version current, if there is one; otherwise the new version becomes current */
  readonly candidate?: boolean | undefined;
}

/**
 * Publishes a version as the current one of a new or an existing base; atomic, and durable on return. Waits for starts
 * and changes of that base. Concurrent calls publish one version each, unless `expected` requires a new base or that a
 * certain version is still current.
 */
export function publishVersion(
  store: Store,
  name: string,
  content: VersionContent,
  expected?: "new" | { readonly current: number },
): BaseVersion {
  const manifest: Manifest = {
    layers: content.layers,
    digest: versionDigest(store, content.layers),
    created: new Date().toISOString(),
    origin: content.origin,
    ...(content.config && { config: content.config }),
    ...(content.from && { from: content.from }),
  };
  for (;;) {
    const mayBeNew = expected === undefined || expected === "new";
    if (mayBeNew && publishBase(store, name, manifest)) return { name, version: 1, manifest };
    if (expected === "new") throw baseExists(name);
    using lock = changeBase(store, name);
    // removed since the attempt above
    if (!lock && mayBeNew) continue;
    if (expected) requireCurrent(store, name, expected.current);
    return { name, version: publishNext(store, name, manifest, content.candidate), manifest };
  }
}

function baseExists(name: string): VeneerError {
  return new VeneerError("EXISTS", `base ${name} exists already`, { hint: "name another" });
}

/** Publishes a new base, whose directory appears complete or not at all. Returns false when the base exists. */
function publishBase(store: Store, name: string, manifest: Manifest): boolean {
  if (lstatMaybe(paths.base(store, name))) return false;
  using staging = makeStaging(store);
  mkdirat(AT_FDCWD, `${staging.path}/versions`, 0o700);
  writeDocument(`${staging.path}/versions/1.json`, manifest, { sync: true });
  writeDocument(`${staging.path}/base.json`, { current: 1, last: 1 }, { sync: true });
  try {
    rename(staging.path, paths.base(store, name), RENAME_NOREPLACE);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
  syncDirectory(paths.bases(store));
  return true;
}

/** Publishes the next version. The manifest takes effect when base.json names it. */
function publishNext(store: Store, name: string, manifest: Manifest, candidate = false): number {
  const base = readBaseFile(store, name);
  const version = (base?.last ?? manifestNumbers(store, name).at(-1) ?? 0) + 1;
  mkdirMaybe(paths.versions(store, name), 0o700);
  writeDocument(paths.manifest(store, name, version), manifest, { sync: true });
  writeDocument(
    paths.baseFile(store, name),
    { ...base, current: (candidate && base?.current) || version, last: version },
    { sync: true },
  );
  return version;
}
