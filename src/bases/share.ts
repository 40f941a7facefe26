/**
 * Shares bases with users without root, by mounts beside RUN. They are read-only, nosuid and nodev, and those for a
 * named user are idmapped to the ids of that user. An audience sees them laid out as a store, and reads them like one.
 */
import { VeneerError } from "../errors.ts";
import { deleteTrash } from "../gc/empty-trash.ts";
import { freeLayers } from "../inventory/remove-base.ts";
import { flatten } from "../layers/flatten.ts";
import { sealLayer } from "../layers/seal.ts";
import { listingFile } from "../layers/sums.ts";
import type { Progress } from "../process/progress.ts";
import { readVersion } from "../store/bases.ts";
import { lockLayers, makeLayerDirectory, publishLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Audience, sharedStore } from "../store/shared.ts";
import { allShares, readShare, type Share, writeShare } from "../store/shares.ts";
import { makeStaging } from "../store/staging.ts";
import { removeTree } from "../store/trash.ts";
import { listVersions, namesIn, readBaseFile } from "../store/versions.ts";
import { type Fd, flock, openat, readText, rmdirQuietly, unlinkQuietly } from "../sys/fd.ts";
import {
  AT_FDCWD,
  LOCK_EX,
  MNT_DETACH,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  UMOUNT_NOFOLLOW,
} from "../sys/flags.ts";
import { umountQuietly } from "../sys/mount.ts";
import { formatBaseRef } from "../text/names.ts";
import { type MapOf, makePlace, publish, requireLayers, sharePlace } from "./share-mounts.ts";
import { refuseUsed } from "./share-users.ts";

/** Shares the current version of a base, and the versions already shared, with more audiences. Idempotent. */
export async function shareBase(
  store: Store,
  name: string,
  audiences: readonly Audience[],
  mapOf: MapOf,
  progress: Progress,
): Promise<void> {
  readVersion(store, { name });
  using _lock = lockPlace(store);
  using _layers = lockLayers(store);
  const known = readShare(store, name) ?? { audiences: [], versions: {} };
  const all = [...new Set([...known.audiences, ...audiences])];
  await refresh(store, name, { ...known, audiences: all }, mapOf, progress);
}

/** Updates all shares to the current versions of their bases, and mounts them again after a reboot. Idempotent. */
export async function refreshShares(store: Store, mapOf: MapOf, progress: Progress): Promise<void> {
  const shares = [...allShares(store)];
  if (shares.length === 0) return;
  using _lock = lockPlace(store);
  using _layers = lockLayers(store);
  for (const [name, share] of shares) await refresh(store, name, share, mapOf, progress);
}

/**
 * Only one process at a time may change shares, because what an audience sees is computed from all of them. The lock is
 * in the store, where users cannot take it.
 */
function lockPlace(store: Store): Fd {
  makePlace(sharePlace(store));
  const path = paths.bases(store);
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  flock(fd.number, LOCK_EX, path);
  return fd;
}

async function refresh(
  store: Store,
  name: string,
  share: Share,
  mapOf: MapOf,
  progress: Progress,
): Promise<void> {
  const current = readBaseFile(store, name)?.current;
  if (current === undefined) return;
  const published = new Set(listVersions(store, name));
  const versions: Record<string, { readonly flat?: string }> = {};
  for (const version of new Set([...Object.keys(share.versions).map(Number), current])) {
    if (!published.has(version)) continue;
    versions[version] = share.versions[version] ?? (await prepare(store, name, version, progress));
  }
  const now = { ...share, versions };
  writeShare(store, name, now);
  for (const audience of now.audiences) publish(store, name, now, current, audience, mapOf);
}

/**
 * Overlays of users do not read trusted.* xattrs, where opaque directories are marked. Layers that have such marks are
 * therefore merged into one, by hard links. The caller locks the layers until the share names the result.
 */
async function prepare(
  store: Store,
  name: string,
  version: number,
  progress: Progress,
): Promise<{ readonly flat?: string }> {
  const ids = requireLayers(name, version, readVersion(store, { name, version }).manifest.layers);
  if (ids.length < 2 || !ids.some((id) => hasNotes(paths.layer(store, id)))) return {};
  progress.step(`flattening ${ids.length} layers`);
  using staging = makeStaging(store);
  const directory = `${staging.path}/layer`;
  makeLayerDirectory(directory);
  const trees = ids.map((id) => paths.layerTree(store, id));
  const bytes = await flatten(trees, `${directory}/tree`, false);
  const flat = `shared-${name.slice(0, 80)}-${version}-${Date.now().toString(36)}`;
  const origin = `${formatBaseRef({ name, version })} flattened for users`;
  const sealed = sealLayer(directory, { id: flat, origin, bytes });
  publishLayer(store, sealed);
  return { flat };
}

/** Whether the listing of a layer has overlay xattrs: opaque directories, or those of users' overlays (user.*). */
function hasNotes(layer: string): boolean {
  const listing = readText(listingFile(layer), AT_FDCWD, 2 ** 30);
  return listing === undefined || / (trusted|user)\.overlay\./.test(listing);
}

/**
 * Withdraws a share: of one version or all, from these audiences or all. Throws while containers of users visibly use
 * it, unless `force`. Idempotent.
 */
export async function unshareBase(
  store: Store,
  name: string,
  what: {
    readonly version?: number | undefined;
    readonly audiences?: readonly Audience[];
    readonly force: boolean;
  },
): Promise<void> {
  const notShared = () => new VeneerError("NOT_SHARED", `base ${name} is not shared`);
  if (!readShare(store, name)) throw notShared();
  using _lock = lockPlace(store);
  const share = readShare(store, name);
  if (!share) throw notShared();
  const left = remaining(name, share, what.version, what.audiences);
  if (!what.force) refuseUsed(name, droppedBy(store, name, share, left));
  const flats = Object.values(share.versions).flatMap(({ flat }) => (flat === undefined ? [] : [flat]));
  writeShare(store, name, left);
  for (const audience of share.audiences) {
    const shared = sharedStore(sharePlace(store), audience);
    if (left.audiences.includes(audience)) {
      for (const version of listVersions(shared, name)) {
        if (!(version in left.versions)) unlinkQuietly(paths.manifest(shared, name, version));
      }
    } else removeTree(paths.base(shared, name));
    sweep(store, audience);
  }
  await deleteTrash(freeLayers(store, flats));
}

function remaining(
  name: string,
  share: Share,
  version: number | undefined,
  audiences: readonly Audience[] | undefined,
): Share {
  if (version === undefined) {
    return {
      ...share,
      audiences: audiences ? share.audiences.filter((one) => !audiences.includes(one)) : [],
    };
  }
  const { [version]: dropped, ...versions } = share.versions;
  if (dropped) return { ...share, versions };
  throw new VeneerError("NOT_SHARED", `${formatBaseRef({ name, version })} is not shared`);
}

function layersOf(store: Store, name: string, { versions }: Share): Set<string> {
  const ids = Object.entries(versions).flatMap(([version, { flat }]) =>
    flat === undefined
      ? readVersion(store, { name, version: Number(version) }).manifest.layers.flatMap((layer) =>
          "id" in layer ? [layer.id] : [],
        )
      : [flat],
  );
  return new Set(ids);
}

/** The layers that an audience needs, of all bases. */
function neededBy(store: Store, audience: Audience): Set<string> {
  const needed = new Set<string>();
  for (const [name, share] of allShares(store)) {
    if (share.audiences.includes(audience)) for (const id of layersOf(store, name, share)) needed.add(id);
  }
  return needed;
}

/** Unmounts the layers that an audience no longer needs. */
function sweep(store: Store, audience: Audience): void {
  const shared = sharedStore(sharePlace(store), audience);
  const needed = neededBy(store, audience);
  for (const id of namesIn(paths.layers(shared))) {
    if (needed.has(id)) continue;
    umountQuietly(paths.layer(shared, id), MNT_DETACH | UMOUNT_NOFOLLOW);
    rmdirQuietly(paths.layer(shared, id));
  }
  for (const path of [paths.layers(shared), paths.bases(shared), shared.root]) rmdirQuietly(path);
}

/** The layers that a change of a share takes from an audience, by path. */
function droppedBy(store: Store, name: string, before: Share, after: Share): Map<string, Audience> {
  const dropped = new Map<string, Audience>();
  for (const audience of before.audiences) {
    const kept = after.audiences.includes(audience) ? layersOf(store, name, after) : new Set<string>();
    for (const id of layersOf(store, name, before)) {
      if (!kept.has(id)) dropped.set(`${sharePlace(store)}/${audience}/layers/${id}`, audience);
    }
  }
  return dropped;
}
