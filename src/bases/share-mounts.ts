/**
 * What an audience of shared bases sees: mounts of the layers, laid out as a store. They are read-only, nosuid and
 * nodev, and those for a named user are idmapped to the ids of that user.
 */
import { VeneerError } from "../errors.ts";
import { idmapped } from "../overlay/idmapped-trees.ts";
import { type LayerRef, type Manifest, readVersion } from "../store/bases.ts";
import { writeDocument } from "../store/document.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Audience, sharedStore } from "../store/shared.ts";
import type { Share } from "../store/shares.ts";
import { listVersions } from "../store/versions.ts";
import { type Fd, fchmodat, mkdirMaybe, mkdirs, openat, openDirectory, unlinkQuietly } from "../sys/fd.ts";
import {
  AT_FDCWD,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
} from "../sys/flags.ts";
import { attach, cloneTree, setMountAttributes } from "../sys/mount.ts";
import { geteuid } from "../sys/process.ts";
import { fstat, lstatMaybe, setxattr } from "../sys/stat.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { formatBaseRef } from "../text/names.ts";
import { makeNamespace } from "../userns/create.ts";

/** Returns the map from the ids of a base to those of a user. */
export type MapOf = (uid: number) => IdMap;

/** The directory that holds what root shares. */
export function sharePlace(store: Store): string {
  return `${store.run}-shared`;
}

/** Creates the directory if it is missing. Throws when others than root can change it. */
export function makePlace(place: string): void {
  mkdirs(place, 0o755);
  using fd = openat(AT_FDCWD, place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const { uid, mode } = fstat(fd.number);
  if (uid !== geteuid() || (mode & 0o022) !== 0) {
    throw new VeneerError("NOT_YOURS", `${place} can be changed by other users`, {
      hint: "remove it, or keep the records elsewhere: --run",
    });
  }
  fchmodat(AT_FDCWD, place, 0o755);
}

/** Returns the layer ids of a version that is to be shared. Throws when a layer is a directory in place. */
export function requireLayers(name: string, version: number, layers: readonly LayerRef[]): string[] {
  return layers.map((layer) => {
    if ("id" in layer) return layer.id;
    throw new VeneerError("IN_PLACE", `${formatBaseRef({ name, version })} uses ${layer.path} in place`, {
      hint: "a living directory is not shared: import it without --in-place",
    });
  });
}

/**
 * Mounts the layers first and then writes the documents that name them, so that readers never find a name without a
 * mount.
 */
export function publish(
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

/** Makes directories that everyone may read who can enter the directory of the audience. */
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

/** Creates the directory of an audience, owned by root. An ACL lets only the named user enter theirs (acl(5)). */
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
