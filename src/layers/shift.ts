/** Copies the layers of a version with the ids of a user namespace, for kernels that cannot idmap them. */
import { VeneerError, withContext } from "../errors.ts";
import { walk } from "../overlay/walk.ts";
import type { Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import { type BaseVersion, lockBase, readVersion } from "../store/bases.ts";
import { lockLayers, syncStore } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { isErrno } from "../sys/errno.ts";
import { fchmodat, fchownat, mkdirMaybe, rename, syncDirectory } from "../sys/fd.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, RENAME_NOREPLACE, S_IFDIR, S_IFLNK } from "../sys/flags.ts";
import { isType, lgetxattr, lstatMaybe, type Stat, setxattr } from "../sys/stat.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import type { BaseRef } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { mapName } from "../userns/id-map.ts";
import { shiftAcl, shiftCapability, shiftedId } from "./shift-ids.ts";

/**
 * Copies each layer of a version so that the files have the owners on the host that the maps give them; keeps existing
 * copies. Each copy appears complete or not at all and is durable on return. It lies in its layer and is removed with
 * it. Uses reflinks where the file system supports them, so that a copy costs only names and inodes. Throws BAD_ID_MAP
 * when there are too many ranges, IN_PLACE for a base in place.
 */
export async function shiftBase(
  store: Store,
  ref: BaseRef,
  map: IdMap,
  progress: Progress,
): Promise<BaseVersion> {
  const name = mapName(map);
  if (name === undefined) {
    throw new VeneerError("BAD_ID_MAP", "the maps have too many ranges for a copy with shifted owners");
  }
  // no layer may be removed while it is copied
  using _layers = lockLayers(store);
  const base = read(store, ref);
  for (const layer of base.manifest.layers) {
    if (!("id" in layer)) {
      throw new VeneerError("IN_PLACE", `the layer ${quote(layer.path)} is in place, outside of the store`, {
        hint: "import the base without --in-place: 'veneer base import'",
      });
    }
    await withContext(`shift layer ${layer.id}`, () => shiftLayer(store, layer.id, name, map, progress));
  }
  return base;
}

function read(store: Store, ref: BaseRef): BaseVersion {
  using _base = lockBase(store, ref);
  return readVersion(store, ref);
}

async function shiftLayer(
  store: Store,
  id: string,
  name: string,
  map: IdMap,
  progress: Progress,
): Promise<void> {
  const place = paths.shifted(store, id, name);
  if (lstatMaybe(place)) return;
  using staging = makeStaging(store);
  const tree = `${staging.path}/tree`;
  progress.step("copying");
  await runProgram("cp", ["-a", "-x", "--reflink=auto", "-T", "--", paths.layerTree(store, id), tree]);
  progress.step("shifting owners");
  shiftTree(tree, map);
  progress.step("syncing");
  syncStore(store);
  const parent = place.slice(0, place.lastIndexOf("/"));
  mkdirMaybe(parent, 0o700);
  try {
    rename(tree, place, RENAME_NOREPLACE);
  } catch (error) {
    // another process made the copy in the meantime
    if (!isErrno(error, "EEXIST", "ENOTEMPTY")) throw error;
  }
  syncDirectory(parent);
}

/** Shifts the owners of all files in a tree that nothing else uses. Not idempotent. */
function shiftTree(tree: string, map: IdMap): void {
  const linked = new Set<bigint>();
  const root = lstatMaybe(tree);
  if (root) shiftFile(AT_FDCWD, tree, tree, root, map);
  walk(tree, ({ dir, name, stat }) => {
    if (stat.nlink > 1 && !isType(stat, S_IFDIR)) {
      if (linked.has(stat.ino)) return;
      linked.add(stat.ino);
    }
    shiftFile(dir, name, `/proc/self/fd/${dir}/${name}`, stat, map);
  });
}

function shiftFile(dir: number, name: string, path: string, stat: Stat, map: IdMap): void {
  const link = isType(stat, S_IFLNK);
  // chown(2) drops capabilities, and set-user-ID and set-group-ID bits
  const capability = link ? undefined : lgetxattr(path, "security.capability");
  const { uids, gids } = map;
  fchownat(dir, name, shiftedId(uids, stat.uid), shiftedId(gids, stat.gid), AT_SYMLINK_NOFOLLOW);
  if (link) return;
  if ((stat.mode & 0o6000) !== 0) fchmodat(dir, name, stat.mode & 0o7777);
  if (capability) setxattr(path, "security.capability", shiftCapability(capability, map));
  for (const kind of ["system.posix_acl_access", "system.posix_acl_default"]) {
    const acl = lgetxattr(path, kind);
    if (acl) setxattr(path, kind, shiftAcl(acl, map));
  }
}
