/**
 * Masks hide files of a version at every mount. When the version below an upper changes, or a mask is added, whiteouts
 * are added to the upper. Files that the container itself created under a masked name stay.
 */
import { hideMasked } from "../overlay/hide-masked.ts";
import { makeUpper } from "../overlay/make-upper.ts";
import { isOpaque, isWhiteout } from "../overlay/marks.ts";
import { expandAll, listMerged, lookup, rootFact } from "../overlay/merged-lookup.ts";
import { type PathFact, upperEntries } from "../overlay/upper-entries.ts";
import { type Fd, mkdirs, openDirectory } from "../sys/fd.ts";
import { openAll } from "../sys/files/open-all.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { isType, lstatMaybe } from "../sys/stat.ts";
import type { BaseVersion } from "./bases.ts";
import { partUppers } from "./frozen-uppers.ts";
import type { Instance } from "./instances.ts";
import { openLayers } from "./open-layers.ts";
import { paths, type Store } from "./paths.ts";
import { makeStaging } from "./staging.ts";
import { moveToTrash } from "./trash.ts";

/** The paths of a version that the masks match, without those inside a directory that is matched too. */
export function maskedPaths(layers: readonly Fd[], mask: readonly string[]): readonly string[] {
  const facts = expandAll(layers, mask)
    .map((path) => lookup(layers, path))
    .filter(({ kind }) => kind !== "missing");
  const found = upperEntries([], facts).filter(({ kind }) => kind === "whiteout");
  return found.map(({ path }) => path);
}

/**
 * Hides the `masked` paths of a version, with whiteouts in the top one of the `parts` of an upper. Idempotent. Calls
 * `check` between steps. Nothing may write to the parts during the call: a container that runs on them is frozen.
 */
export function hideBelow(
  store: Store,
  masked: readonly string[],
  parts: readonly Fd[],
  layers: readonly Fd[],
  check: () => void = () => {},
): void {
  const seen = [...parts, ...layers];
  const hidden = masked.flatMap((path) => {
    check();
    return stillSeen(parts, layers, path);
  });
  if (hidden.length === 0) return;
  const facts = hidden.map((path) => factOf(seen, path));
  using staging = makeStaging(store);
  hideMasked((parts[0] as Fd).path, upperEntries([], facts), staging.path, check);
}

/** Like {@link lookup} for a path without symbolic links, except perhaps the last name, which is not followed. */
function factOf(layers: readonly Fd[], path: string): PathFact {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return { asked: path, path, kind: "other", parents: [] };
  const { parents, directory } = lookup(layers, path.slice(0, slash));
  return { asked: path, path, kind: "other", parents: directory ? [...parents, directory] : parents };
}

/**
 * Creates a layer at `place` that hides `masked` paths of a version when it is stacked directly on the layers of that
 * version. Returns it open, or undefined where there is nothing to hide. Containers cannot change it. Whiteouts in the
 * upper might not last: a process still on an earlier root can remove them from an upper that both roots share
 * (ovl_do_remove in fs/overlayfs/dir.c leaves none where its own layers have no such file). Anything already at `place`
 * goes to the trash: no overlay uses it.
 */
export function makeMaskLayer(
  store: Store,
  place: string,
  masked: readonly string[],
  layers: readonly Fd[],
): Fd | undefined {
  if (lstatMaybe(place)) moveToTrash(store, place);
  if (masked.length === 0) return undefined;
  const entries = upperEntries(
    [],
    masked.map((path) => factOf(layers, path)),
  );
  mkdirs(place, 0o700);
  using directory = openDirectory(place);
  makeUpper(directory, rootFact(layers), entries);
  return openDirectory("upper", directory.number);
}

/** The paths, at or below `path`, where an upper of these parts still shows entries of the version. */
function stillSeen(parts: readonly Fd[], layers: readonly Fd[], path: string): string[] {
  const names = path.split("/");
  let merging: readonly Fd[] | undefined = parts;
  for (let depth = 1; depth <= names.length; depth++) {
    merging = mergingAt(merging, names.slice(0, depth).join("/"));
    if (!merging) return [];
    if (merging.length === 0) return [path];
  }
  const below = layers.filter((layer) => isType(lstatMaybe(path, layer.number), S_IFDIR));
  return listMerged(below, path).flatMap((name) => stillSeen(parts, layers, `${path}/${name}`));
}

/** The parts whose directory at `path` merges with those below; undefined where one of them hides everything below. */
function mergingAt(parts: readonly Fd[], path: string): readonly Fd[] | undefined {
  const merging: Fd[] = [];
  for (const part of parts) {
    const stat = lstatMaybe(path, part.number);
    if (!stat) continue;
    const own = `${part.path}/${path}`;
    if (!isType(stat, S_IFDIR) || isWhiteout(stat, own) || isOpaque(own)) return undefined;
    merging.push(part);
  }
  return merging;
}

/**
 * Adds the whiteouts for an instance's masks to its upper, which nothing uses: LXC may mount the instance itself, and
 * then no hook does this.
 */
export function hideInInstance(store: Store, id: string, instance: Instance, base: BaseVersion): void {
  if (instance.tmpfs !== undefined || instance.mask.length === 0) return;
  using layers = openLayers(store, base);
  using parts = openAll(partUppers(paths.generation(store, id, instance.generation), instance));
  hideBelow(store, maskedPaths(layers.fds, instance.mask), parts.fds, layers.fds);
}
