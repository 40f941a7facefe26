/**
 * Shares bases with users who have no root, by mounts beside RUN: read-only, nosuid and nodev, and for a named user
 * idmapped to that user's ids. What an audience sees is laid out as a store, so that it is read as one.
 */
import { VeneerError } from "../errors.ts";
import { formatBaseRef } from "../names.ts";
import { type LayerRef, type Manifest, readVersion } from "../store/bases.ts";
import { writeDocument } from "../store/document.ts";
import { lockLayers, publishLayer, sealLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { freeLayers } from "../store/remove-base.ts";
import { type Audience, sharedStore } from "../store/shared.ts";
import { allShares, readShare, type Share, writeShare } from "../store/shares.ts";
import { makeStaging } from "../store/staging.ts";
import { listingFile } from "../store/sums.ts";
import { removeTree } from "../store/trash.ts";
import { listVersions, namesIn, readBaseFile } from "../store/versions.ts";
import {
  type Fd,
  fchmodat,
  flock,
  mkdirMaybe,
  mkdirs,
  openat,
  openDirectory,
  readText,
  rmdirQuietly,
  unlinkQuietly,
} from "../sys/fd.ts";
import {
  AT_FDCWD,
  LOCK_EX,
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  UMOUNT_NOFOLLOW,
} from "../sys/flags.ts";
import { attach, cloneTree, setMountAttributes, umountQuietly } from "../sys/mount.ts";
import { readMountinfo } from "../sys/mountinfo.ts";
import { geteuid } from "../sys/process.ts";
import { fstat, list, lstatMaybe, setxattr } from "../sys/stat.ts";
import type { IdMap } from "../sys/userns.ts";
import { deleteTrash } from "./empty-trash.ts";
import { flatten } from "./flatten.ts";
import { idmapped } from "./idmap.ts";
import { makeLayerDirectory } from "./import.ts";
import { makeNamespace } from "./make-userns.ts";
import type { Progress } from "./progress.ts";

/** The ids that a user has, as a map from those of a base. */
export type MapOf = (uid: number) => IdMap;

/** Where what root of this store shares is. */
export function sharePlace(store: Store): string {
  return `${store.run}-shared`;
}

/** Shares the current version of a base, and those that are shared already, with further audiences. Idempotent. */
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

/** Brings what users see of shared bases to the current versions, and back after a reboot. Idempotent. */
export async function refreshShares(store: Store, mapOf: MapOf, progress: Progress): Promise<void> {
  const shares = [...allShares(store)];
  if (shares.length === 0) return;
  using _lock = lockPlace(store);
  using _layers = lockLayers(store);
  for (const [name, share] of shares) await refresh(store, name, share, mapOf, progress);
}

/** One at a time: what an audience sees is put together from all shares. */
function lockPlace(store: Store): Fd {
  const place = sharePlace(store);
  mkdirs(place, 0o755);
  const fd = openat(AT_FDCWD, place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const { uid, mode } = fstat(fd.number);
  if (uid !== geteuid() || (mode & 0o022) !== 0) {
    fd[Symbol.dispose]();
    throw new VeneerError("NOT_YOURS", `${place} can be changed by others`, {
      hint: "remove it, or keep the records elsewhere: --run",
    });
  }
  fchmodat(AT_FDCWD, place, 0o755);
  flock(fd.number, LOCK_EX, place);
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
 * Overlays of users do not see in which directories nothing of the layers below shall show, since that is noted in
 * trusted.*: such layers are made one, by hard links. The caller holds the layers until the share names the result.
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

function requireLayers(name: string, version: number, layers: readonly LayerRef[]): string[] {
  return layers.map((layer) => {
    if ("id" in layer) return layer.id;
    throw new VeneerError("IN_PLACE", `${formatBaseRef({ name, version })} uses ${layer.path} in place`, {
      hint: "a living directory is not shared: import it without --in-place",
    });
  });
}

/** Whether the listing of a layer has an opaque directory, or attributes of overlays of users. */
function hasNotes(layer: string): boolean {
  const listing = readText(listingFile(layer), AT_FDCWD, 2 ** 30);
  return listing === undefined || / (trusted|user)\.overlay\./.test(listing);
}

/** Mounts first: what names them comes when they are there. */
function publish(
  store: Store,
  name: string,
  share: Share,
  current: number,
  audience: Audience,
  mapOf: MapOf,
): void {
  const shared = sharedStore(sharePlace(store), audience);
  makeDoor(shared.root, audience);
  for (const directory of [paths.layers(shared), paths.versions(shared, name)])
    makeOpen(directory, shared.root);
  let namespace: Fd | undefined;
  try {
    for (const [version, { flat }] of Object.entries(share.versions)) {
      const { manifest } = readVersion(store, { name, version: Number(version) });
      const ids = flat === undefined ? requireLayers(name, Number(version), manifest.layers) : [flat];
      for (const id of ids) {
        const target = paths.layer(shared, id);
        if (lstatMaybe(target)?.isMountRoot) continue;
        if (audience !== "all") namespace ??= makeNamespace(mapOf(audience));
        mountLayer(paths.layerTree(store, id), target, namespace);
      }
      const { config, digest, created } = manifest;
      const visible: Manifest = {
        layers: ids.map((id) => ({ path: paths.layer(shared, id) })),
        digest,
        created,
        origin: "shared by root",
        ...(config && { config }),
      };
      writeOpen(paths.manifest(shared, name, Number(version)), visible);
    }
    const last = Math.max(...Object.keys(share.versions).map(Number));
    writeOpen(paths.baseFile(shared, name), { current, last });
    for (const version of listVersions(shared, name)) {
      if (!(version in share.versions)) unlinkQuietly(paths.manifest(shared, name, version));
    }
  } finally {
    namespace?.[Symbol.dispose]();
  }
}

/** Readable for whoever is let in by the door. */
function makeOpen(directory: string, root: string): void {
  mkdirs(directory, 0o755);
  for (let path = directory; path !== root; path = path.slice(0, path.lastIndexOf("/"))) {
    fchmodat(AT_FDCWD, path, 0o755);
  }
}

function writeOpen(path: string, data: object): void {
  writeDocument(path, data);
  fchmodat(AT_FDCWD, path, 0o644);
}

/** The directory of an audience: for one user, that one alone may enter (acl(5)); it stays root's. */
function makeDoor(path: string, audience: Audience): void {
  mkdirMaybe(path, 0o700);
  if (audience === "all") fchmodat(AT_FDCWD, path, 0o755);
  else setxattr(path, "system.posix_acl_access", accessOf(audience));
}

/** struct posix_acl_xattr_header and its entries (linux/posix_acl_xattr.h): tag, permissions, id. */
function accessOf(uid: number): Uint8Array {
  const nobody = 0xffffffff;
  const entries = [
    [0x01, 7, nobody],
    [0x02, 5, uid],
    [0x04, 0, nobody],
    [0x10, 5, nobody],
    [0x20, 0, nobody],
  ] as const;
  const view = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  view.setUint32(0, 2, true);
  entries.forEach(([tag, permissions, id], index) => {
    view.setUint16(4 + 8 * index, tag, true);
    view.setUint16(6 + 8 * index, permissions, true);
    view.setUint32(8 + 8 * index, id, true);
  });
  return new Uint8Array(view.buffer);
}

function mountLayer(tree: string, target: string, namespace: Fd | undefined): void {
  mkdirMaybe(target, 0o755);
  using source = openDirectory(tree);
  using clone = namespace ? idmapped(source, namespace, tree) : cloneTree(source.number, "", false);
  setMountAttributes(clone, { set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV }, tree);
  using point = openDirectory(target);
  attach(clone, point, target);
}

/**
 * Takes a share back: of one version or of all, from these audiences or from all. Refused while containers of users
 * are seen on it, unless `force`. Idempotent.
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
  using _lock = lockPlace(store);
  const share = readShare(store, name);
  if (!share) throw new VeneerError("NOT_SHARED", `base ${name} is not shared`);
  const left = remaining(name, share, what.version, what.audiences);
  if (!what.force) refuseUsed(store, name, share, left);
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

/** Layers that an audience needs, of all bases. */
function neededBy(store: Store, audience: Audience): Set<string> {
  const needed = new Set<string>();
  for (const [name, share] of allShares(store)) {
    if (share.audiences.includes(audience)) for (const id of layersOf(store, name, share)) needed.add(id);
  }
  return needed;
}

/** Unmounts what an audience needs no more. */
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

/** The kernel tells of which paths an overlay is made from Linux 6.13 on: before, none is seen. */
function refuseUsed(store: Store, name: string, before: Share, after: Share): void {
  const place = sharePlace(store);
  const dropped = before.audiences.flatMap((audience) => {
    const kept = after.audiences.includes(audience) ? layersOf(store, name, after) : new Set<string>();
    const ids = [...layersOf(store, name, before)].filter((id) => !kept.has(id));
    return ids.map((id) => `${place}/${audience}/layers/${id}`);
  });
  for (const pid of list("/proc")) {
    if (!/^[0-9]+$/.test(pid)) continue;
    for (const line of mountsOf(Number(pid))) {
      if (!line.includes(" - overlay ") || !dropped.some((path) => line.includes(path))) continue;
      const source = line.split(" - overlay ")[1]?.split(" ")[0] ?? "";
      throw new VeneerError("IN_USE", `base ${name} is used by ${source}, seen by process ${pid}`, {
        hint: "stop that first; --force takes the share back all the same, and containers go on until a layer is removed",
      });
    }
  }
}

function mountsOf(pid: number): string[] {
  try {
    return readMountinfo(pid)?.split("\n") ?? [];
  } catch {
    return []; // gone meanwhile
  }
}
