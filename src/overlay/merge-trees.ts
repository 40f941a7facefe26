/** What several layers show as one, as overlayfs merges them (overlayfs.rst, "Merging directories"). Only reads. */
import { S_IFDIR } from "../sys/flags.ts";
import { isType } from "../sys/stat.ts";
import { isOpaque, isWhiteout } from "./marks.ts";
import { type Entry, entryPath, walk } from "./walk.ts";

export interface MergedEntry {
  /** relative */
  readonly path: string;
  readonly kind: "directory" | "whiteout" | "other";
  /** the layer that it is from, counted from the top */
  readonly layer: number;
  /** a directory that shows nothing of what is below the merged layers */
  readonly opaque: boolean;
}

interface State {
  kind: MergedEntry["kind"];
  layer: number;
  /** layers below this one do not show at this path */
  closed: number;
}

/** Entries of the merged tree without its root, a directory before what is in it. Top tree first. */
export function mergeTrees(trees: readonly string[]): MergedEntry[] {
  const states = new Map<string, State>();
  trees.forEach((tree, layer) => {
    walk(tree, (entry) => {
      const { path } = entry;
      const known = states.get(path);
      if (known && known.closed < layer) return false;
      const kind = kindOf(entry);
      const closed = kind === "directory" && !isOpaque(entryPath(entry)) ? Number.POSITIVE_INFINITY : layer;
      // a lower directory adds its entries to the upper one; anything else only ends what shows there
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
