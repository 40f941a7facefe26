/** What a container still uses of roots that it had before. */

import { formerRootsInUse } from "../inventory/former-roots.ts";
import { locate } from "../overlay/merged-lookup.ts";
import { sameEntry } from "../overlay/same-entry.ts";
import { readVersion } from "../store/bases.ts";
import { type OpenLayers, openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import type { Fd } from "../sys/fd.ts";
import type { BaseRef } from "../text/names.ts";
import { findStale, type StaleUse } from "./find-stale.ts";
import { rootIdsOf } from "./open-files.ts";
import { findMembers } from "./processes.ts";

/** What the container whose first process is `init` still uses of earlier roots. */
export function staleOf(init: number, record: UseRecord): StaleUse[] {
  const remains = formerRootsInUse(record);
  if (remains.length === 0) return [];
  const { pids } = findMembers(init);
  return findStale(pids, rootIdsOf(remains, init, pids));
}

type Ground = Pick<UseRecord, "base" | "version">;

/**
 * Leaves out programs, libraries and files whose path is the same (content, mode, owner) in the version `now` and in
 * every version `before` that the container was on: processes that use them need no restart. What cannot be compared
 * is kept.
 */
export function changedUses(
  store: Store,
  now: Ground,
  before: readonly Ground[],
  uses: readonly StaleUse[],
): StaleUse[] {
  if (uses.length === 0) return [];
  const open = [now, ...before].map(({ base: name, version }) => layersOf(store, { name, version }));
  try {
    const all = open.map((layers) => layers?.fds);
    const known = new Map<string, boolean>();
    return uses.filter(({ kind, path }) => {
      if (kind !== "program" && kind !== "library" && kind !== "file") return true;
      const changed = known.get(path) ?? differs(all, path);
      known.set(path, changed);
      return changed;
    });
  } finally {
    for (const layers of open) layers?.[Symbol.dispose]();
  }
}

function layersOf(store: Store, ref: BaseRef): OpenLayers | undefined {
  try {
    return openLayers(store, readVersion(store, ref));
  } catch {
    return undefined;
  }
}

function differs([now, ...before]: readonly (readonly Fd[] | undefined)[], path: string): boolean {
  try {
    const there = now && locate(now, path.slice(1));
    return before.some((layers) => {
      if (!there || !layers) return true;
      const then = locate(layers, path.slice(1));
      return !then || !sameEntry(there, then);
    });
  } catch {
    // the container chose the path
    return true;
  }
}
