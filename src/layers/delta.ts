/** The layer that makes a version show another tree: what differs, and whiteouts for what is gone. */

import { makeWhiteout, markOpaque } from "../overlay/marks.ts";
import { mountOverlay } from "../overlay/mount.ts";
import type { BaseVersion } from "../store/bases.ts";
import { readLayer } from "../store/layers.ts";
import { openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import { removeTree } from "../store/trash.ts";
import { type Fd, openat, openDirectory, unlink } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR } from "../sys/flags.ts";
import { fstat, isType, listFd, lstatMaybe, setTime } from "../sys/stat.ts";
import { compareTrees, type TreeDifference } from "./compare-trees.ts";

/** More than this share of a tree's bytes different: a layer of its own with all of it is better than one above the old. */
const MOST_DIFFERENT = 0.5;
/** Bytes read before that is judged by a part. */
const LEAST = 64 * 2 ** 20;
/** What the layers below may take on disk for each byte of the tree: beyond, too much of them is hidden. */
const MOST_BELOW = 2;

/**
 * What makes the tree `after` another than the version shows; undefined where a layer of what differs would not pay:
 * too much does, or the version is in place. `without`: paths of `after` that are left out.
 */
export function differenceFrom(
  store: Store,
  base: BaseVersion,
  after: string | Fd,
  without: ReadonlySet<string> = new Set(),
): TreeDifference | undefined {
  const sizes = base.manifest.layers.map((layer) =>
    "id" in layer ? readLayer(store, layer.id)?.bytes : undefined,
  );
  if (sizes.includes(undefined)) return undefined;
  using layers = openLayers(store, base);
  using before = openMerged(layers.fds);
  const dir = typeof after === "string" ? AT_FDCWD : after.number;
  using tree = openat(dir, typeof after === "string" ? after : ".", O_RDONLY | O_DIRECTORY);
  const most = { share: MOST_DIFFERENT, least: LEAST };
  const found = compareTrees(before, tree, { without, most });
  const below = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
  // a small tree's directories take more than its files
  if (found && below > LEAST && below > MOST_BELOW * (found.bytes.all + LEAST)) return undefined;
  return found;
}

/** What layers (top first) show together, to be read: an overlay that is mounted nowhere. */
export function openMerged(layers: readonly Fd[]): Fd {
  using merged =
    layers.length > 1 ? mountOverlay({ layers, source: "veneer:compare", volatile: false }) : undefined;
  return openat((merged ?? (layers[0] as Fd)).number, ".", O_RDONLY | O_DIRECTORY);
}

/** All that the layer holds of the tree after, a directory before what is in it, the root (`.`) first. */
export function pathsOfDelta({ added, changed, touched, removed }: TreeDifference): string[] {
  const paths = new Set(["."]);
  const addParents = (path: string) => {
    for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      paths.add(path.slice(0, slash));
    }
  };
  for (const path of [...added, ...changed, ...touched]) {
    addParents(path);
    paths.add(path);
  }
  for (const path of removed) addParents(path);
  return [...paths].sort();
}

/** Marks in a layer what is gone from the version below. Times of directories stay. */
export function markRemoved(tree: string, { removed, replaced }: TreeDifference): void {
  using root = openDirectory(tree);
  for (const path of replaced) markOpaque(`${root.path}/${path}`);
  for (const path of removed) {
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : ".";
    const before = lstatMaybe(parent, root.number);
    makeWhiteout(root.number, path);
    if (before) setTime(parent, before.mtime, root.number);
  }
}

/** Removes from a whole tree all that a layer of the difference does not hold. Times of directories stay. */
export function keepDelta(tree: string, difference: TreeDifference): void {
  const kept = new Set(pathsOfDelta(difference));
  const prune = (dir: number, prefix: string) => {
    const { mtime } = fstat(dir);
    for (const name of listFd(dir, prefix)) {
      const path = prefix + name;
      const isDirectory = isType(lstatMaybe(name, dir), S_IFDIR);
      if (kept.has(path)) {
        if (!isDirectory) continue;
        using inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        prune(inner.number, `${path}/`);
      } else if (isDirectory) removeTree(name, undefined, dir);
      else unlink(name, dir);
    }
    setTime(".", mtime, dir);
  };
  using root = openat(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY);
  prune(root.number, "");
}
