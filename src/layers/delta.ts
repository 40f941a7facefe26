/** Difference layers: they make a version show another tree, with changed entries and whiteouts for removed ones. */

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
import { compareTrees, isSame, type TreeDifference } from "./compare-trees.ts";

/** The largest share of different bytes; above it a layer with the whole tree is better than a difference. */
const MOST_DIFFERENT = 0.5;
/** Bytes to read before that share is judged on a part of the tree. */
const LEAST = 64 * 2 ** 20;
/** The disk space of the layers below per byte of the tree; above it they contain too much hidden data. */
const MOST_BELOW = 2;

/**
 * Compares the tree `after` with a version. Returns undefined when a difference layer does not pay, because too much
 * differs (other than times) or the version is in place. `without`: paths of `after` to leave out.
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
  // in small trees the directories take more space than the files
  const tooMuch = found && below > LEAST && below > MOST_BELOW * (found.bytes.all + LEAST);
  return tooMuch && !isSame(found) ? undefined : found;
}

/** Opens the merged view of layers (top first) for reading, as a detached overlay. */
export function openMerged(layers: readonly Fd[]): Fd {
  using merged =
    layers.length > 1 ? mountOverlay({ layers, source: "veneer:compare", volatile: false }) : undefined;
  return openat((merged ?? (layers[0] as Fd)).number, ".", O_RDONLY | O_DIRECTORY);
}

/** All paths of the new tree in the layer, each directory before its contents, the root (`.`) first. */
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

/** Adds whiteouts and opaque marks to a layer for removed entries. Keeps the times of directories. */
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

/** Reduces a whole tree to the entries of the difference layer. Keeps the times of directories. */
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
