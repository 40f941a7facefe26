/** What several layers show as one, as overlayfs merges them (overlayfs.rst, "Merging directories"). Only reads. */
import { S_IFCHR, S_IFDIR, S_IFREG } from "../sys/flags.ts";
import { getxattr, isType, type Stat } from "../sys/stat.ts";
import { type Entry, walk } from "./walk.ts";
import { overlayXattr } from "./xattrs.ts";

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
      const closed = kind === "directory" && !isOpaque(entry) ? Number.POSITIVE_INFINITY : layer;
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
  return isWhiteout(entry) ? "whiteout" : "other";
}

/** A 0/0 character device, or an empty file with an xattr (Linux 6.7). */
function isWhiteout({ stat, dir, name }: Entry): boolean {
  if (isType(stat, S_IFCHR)) return isZeroDevice(stat);
  if (!isType(stat, S_IFREG) || stat.size > 0) return false;
  return getxattr(`/proc/self/fd/${dir}/${name}`, overlayXattr("whiteout")) !== undefined;
}

function isZeroDevice(stat: Stat): boolean {
  return stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

function isOpaque({ dir, name }: Entry): boolean {
  return getxattr(`/proc/self/fd/${dir}/${name}`, overlayXattr("opaque"))?.[0] === 0x79; // "y"
}
