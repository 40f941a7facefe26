/** How many versions instances and containers are behind, for listings. */

import type { Store } from "../store/paths.ts";
import { storeOfBase } from "../store/shared.ts";
import { listVersions, readBaseFile } from "../store/versions.ts";
import { versionsBehind } from "./versions-behind.ts";

/** Reads each base once; null where its versions cannot be read. Made for one listing, and not kept. */
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
    // `base ls` tells what is wrong with it
    return undefined;
  }
}
