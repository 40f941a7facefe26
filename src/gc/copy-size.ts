/** What full copies of versions and instances would take on disk. Reads by descriptor, follows no symbolic link. */

import { walkParts } from "../instances/frozen-uppers-walk.ts";
import { isWhiteout } from "../overlay/marks.ts";
import { lookupName } from "../overlay/merged-lookup.ts";
import { entryPath } from "../overlay/walk.ts";
import type { Fd } from "../sys/fd.ts";
import { openAll } from "../sys/files/open-all.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { isType, lstatMaybe, type Stat } from "../sys/stat.ts";

const allocated = (stat: Stat | undefined) => (stat?.blocks ?? 0) * 512;

/** What trees (top first) take that are merged to one, in bytes: what upper ones hide does not count, links count once. */
export function mergedBytes(trees: readonly string[]): number {
  const linked = new Set<string>();
  let bytes = allocated(trees[0] === undefined ? undefined : lstatMaybe(`${trees[0]}/.`));
  walkParts(trees, (entry) => {
    const { stat } = entry;
    if (isWhiteout(stat, entryPath(entry))) return;
    if (stat.nlink > 1 && !isType(stat, S_IFDIR)) {
      const key = `${stat.dev} ${stat.ino}`;
      if (linked.has(key)) return;
      linked.add(key);
    }
    bytes += allocated(stat);
  });
  return bytes;
}

/** What of the layers (top first) an upper (its parts, top first) hides, in bytes. Costs as much as the upper is large. */
export function hiddenBytes(uppers: readonly string[], layers: readonly string[]): number {
  using open = openAll(layers);
  return hidden(uppers, open.fds);
}

function hidden(uppers: readonly string[], layers: readonly Fd[]): number {
  // the root is there twice
  let bytes = allocated(layers[0] && lstatMaybe(".", layers[0].number));
  const below = new Map<string, readonly Fd[]>([["", layers]]);
  walkParts(uppers, ({ path, stat, opaque }) => {
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    const found = lookupName(below.get(parent) ?? [], path);
    if (!found) return;
    bytes += allocated(found.stat);
    if (!isType(found.stat, S_IFDIR)) return;
    const isMerged = isType(stat, S_IFDIR) && !opaque;
    if (isMerged) below.set(path, found.layers);
    else {
      const trees = found.layers.map((layer) => `${layer.path}/${path}`);
      bytes += mergedBytes(trees) - allocated(found.stat);
    }
  });
  return bytes;
}
