/** Tells for listings how many versions instances and containers are behind. */

import type { Store } from "../store/paths.ts";
import { storeOfBase } from "../store/shared.ts";
import { listVersions, readBaseFile } from "../store/versions.ts";
import { versionsBehind } from "./versions-behind.ts";

/**
 * The function that is returned gives the number of versions, or null when the base cannot be read. It reads each base
 * only once, so use it for one listing and then drop it.
 */
export function makeBehind(store: Store): (base: string, version: number) => number | null {
  const bases = new Map<string, { current: number; published: number[] } | undefined>();
  return (base, version) => {
    if (!bases.has(base)) bases.set(base, readVersions(store, base));
    const known = bases.get(base);
    return known ? versionsBehind(version, known.current, known.published) : null;
  };
}

function readVersions(store: Store, base: string) {
  try {
    const holder = storeOfBase(store, base);
    const current = readBaseFile(holder, base)?.current;
    return current === undefined ? undefined : { current, published: listVersions(holder, base) };
  } catch {
    // `base ls` reports what is wrong with it
    return undefined;
  }
}
