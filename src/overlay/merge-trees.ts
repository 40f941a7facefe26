/** Merges layers as overlayfs does, by reading only (overlayfs.rst, "Directories"). */
import { S_IFDIR } from "../sys/flags.ts";
import { isType } from "../sys/stat.ts";
import { isOpaque, isWhiteout } from "./marks.ts";
import { type Entry, entryPath, walk } from "./walk.ts";

export interface MergedEntry {
  /** relative */
  readonly path: string;
  readonly kind: "directory" | "whiteout" | "other";
  /** index of the layer that has it, counted from the top */
  readonly layer: number;
  /** a directory that hides everything below the merged layers */
  readonly opaque: boolean;
}

interface State {
  kind: MergedEntry["kind"];
  layer: number;
  /** index of the lowest layer that is visible at this path */
  closed: number;
}

/** The entries of the merged tree without its root, each directory before its contents. `trees` has the top first. */
export function mergeTrees(trees: readonly string[]): MergedEntry[] {
  const states = new Map<string, State>();
  trees.forEach((tree, layer) => {
    walk(tree, (entry) => {
      const { path } = entry;
      const known = states.get(path);
      if (known && known.closed < layer) return false;
      const kind = kindOf(entry);
      const closed = kind === "directory" && !isOpaque(entryPath(entry)) ? Number.POSITIVE_INFINITY : layer;
      // a lower directory adds its entries to the one above; anything else only hides the layers below it
      if (known) known.closed = closed;
      else states.set(path, { kind, layer, closed });
      return kind === "directory";
    });
  });
  return [...states].map(([path, { kind, layer, closed }]) => ({
    path,
    kind,
    layer,
    opaque: kind === "directory" && closed !== Number.POSITIVE_INFINITY,
  }));
}

function kindOf(entry: Entry): MergedEntry["kind"] {
  if (isType(entry.stat, S_IFDIR)) return "directory";
  return isWhiteout(entry.stat, entryPath(entry)) ? "whiteout" : "other";
}
