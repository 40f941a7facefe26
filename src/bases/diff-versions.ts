/** The differences between two versions. Reads layers by descriptor and mounts nothing. */

import { insideOf } from "../images/pack-layer.ts";
import { type Change, type Kind, sortByPath } from "../instances/changes.ts";
import { type PartEntry, walkParts } from "../instances/frozen-uppers-walk.ts";
import { isWhiteout } from "../overlay/marks.ts";
import { lookupName } from "../overlay/merged-lookup.ts";
import { sameEntry } from "../overlay/same-entry.ts";
import { entryPath } from "../overlay/walk.ts";
import type { Progress } from "../process/progress.ts";
import { type BaseVersion, layerPaths } from "../store/bases.ts";
import { openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import type { Fd } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { fstat, isType } from "../sys/stat.ts";

/**
 * The changes from one version to another, sorted by path: contents, types, modes, owners, links, devices and extended
 * attributes count, times do not. A directory counts as changed for its own attributes alone; of one that was added or
 * deleted all entries are named. Files of layers that both versions have are not read. Of a directory in place, the
 * store in it is left out. Tells `progress` how many entries it has looked at.
 */
export function diffVersions(
  store: Store,
  before: BaseVersion,
  after: BaseVersion,
  progress?: Progress,
): Change[] {
  let entries = 0;
  const count = () => {
    // the walk lets no timer run
    if (entries++ % STEP === 0) progress?.step("comparing", () => `${entries} entries`);
  };
  const known = identities(store, before, count);
  using layers = openLayers(store, before);
  const changes: { kind: Kind; path: string }[] = [];
  const below = new Map<string, readonly Fd[]>([["", layers.fds]]);
  const visit = ({ path, name, stat, dir }: PartEntry) => {
    count();
    if (isWhiteout(stat, entryPath({ dir, name }))) return;
    const identity = known.get(path);
    known.delete(path);
    const isDirectory = isType(stat, S_IFDIR);
    if (identity === undefined) changes.push({ kind: "A", path });
    if (identity === undefined || (!isDirectory && identity === identityOf(stat))) return;
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    const found = lookupName(below.get(parent) ?? [], path);
    const holder = found?.layers[0];
    if (!found || !holder) return;
    if (isDirectory && isType(found.stat, S_IFDIR)) below.set(path, found.layers);
    const same = sameEntry({ dir, path: name, stat }, { dir: holder.number, path, stat: found.stat });
    if (!same) changes.push({ kind: "C", path });
  };
  walkParts(layerPaths(store, after.manifest), visit, storeInside(store, after));
  for (const path of known.keys()) changes.push({ kind: "D", path });
  if (!sameRoot(store, before, after)) changes.push({ kind: "C", path: "" });
  return sortByPath(changes.map(({ kind, path }) => ({ kind, path: `/${path}` })));
}

/** Entries between two words to `progress`. */
const STEP = 5000;

/** What a version's directories in place hold of the store, relative to them. */
function storeInside(store: Store, { manifest }: BaseVersion): ReadonlySet<string> {
  return new Set(manifest.layers.flatMap((layer) => ("path" in layer ? insideOf(store, layer.path) : [])));
}

const identityOf = ({ dev, ino }: { dev: string; ino: bigint }) => `${dev} ${ino}`;

/** Every path of a version, with what distinguishes the same file from an equal one. */
function identities(store: Store, version: BaseVersion, count: () => void): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (entry: PartEntry) => {
    count();
    if (!isWhiteout(entry.stat, entryPath(entry))) found.set(entry.path, identityOf(entry.stat));
  };
  walkParts(layerPaths(store, version.manifest), visit, storeInside(store, version));
  return found;
}

function sameRoot(store: Store, before: BaseVersion, after: BaseVersion): boolean {
  using one = openLayers(store, before);
  using two = openLayers(store, after);
  const [a, b] = [one, two].map(({ fds }) => {
    const dir = (fds[0] as Fd).number;
    return { dir, path: ".", stat: fstat(dir) };
  });
  return a !== undefined && b !== undefined && sameEntry(a, b);
}
