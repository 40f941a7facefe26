/** Checks whether a layer changes what the layers below it show; if not, no version is published. */

import { isOpaque, isWhiteout } from "../overlay/marks.ts";
import { listMerged, lookupName } from "../overlay/merged-lookup.ts";
import { type Located, sameEntry } from "../overlay/same-entry.ts";
import { entryPath, walk } from "../overlay/walk.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { fstat, isType, list } from "../sys/stat.ts";

/**
 * Returns true when `layers` (top first) show the same with and without `tree`, a layer in overlay form, above them:
 * names, types, contents, modes, owners, links, devices and extended attributes, but not times. Stops at the first
 * difference. Throws SysError.
 */
export function changesNothing(tree: string, layers: readonly Fd[]): boolean {
  using root = openDirectory(tree);
  const top = layers[0] as Fd;
  const located = (fd: Fd): Located => ({ dir: fd.number, path: ".", stat: fstat(fd.number) });
  let same = sameEntry(located(root), located(top)) && !isOpaque(`${root.path}/.`);
  const below = new Map<string, readonly Fd[]>([["", layers]]);
  walk(tree, ({ path, name, stat, dir }) => {
    if (!same) return false;
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    const found = lookupName(below.get(parent) ?? [], path);
    if (isWhiteout(stat, entryPath({ dir, name }))) {
      same = found === undefined;
      return false;
    }
    const holder = found?.layers[0];
    if (!found || !holder) same = false;
    else {
      same = sameEntry({ dir, path: name, stat }, { dir: holder.number, path, stat: found.stat });
      if (same && isType(stat, S_IFDIR)) {
        below.set(path, found.layers);
        if (isOpaque(entryPath({ dir, name }))) same = showsAll(dir, name, found.layers, path);
      }
    }
    return same;
  });
  return same;
}

/** Whether an opaque directory contains every name that the layers below show there. */
function showsAll(dir: number, name: string, layers: readonly Fd[], path: string): boolean {
  const own = new Set(list(name, dir));
  return listMerged(layers, path).every((one) => own.has(one));
}
