/** Which bases of root's store are shared, and with whom (bases/NAME/share.json). */
import validateShare from "../generated/share.js";
import { isErrno } from "../sys/errno.ts";
import { syncDirectory, unlinkQuietly } from "../sys/fd.ts";
import { readDocument, writeDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";
import { type Audience, sharedStores } from "./shared.ts";
import { listBases, namesIn } from "./versions.ts";

export interface Share {
  readonly audiences: readonly Audience[];
  /** by version number; `flat` is a layer that holds the merged layers of the version */
  readonly versions: Readonly<Record<string, { readonly flat?: string }>>;
}

/** The share of a base; undefined where it is not shared. */
export function readShare(store: Store, name: string): Share | undefined {
  return readDocument<Share>(paths.shareFile(store, name), validateShare);
}

/** Writes the share of a base, or removes it when its audience is empty. Durable on return. */
export function writeShare(store: Store, name: string, share: Share): void {
  if (share.audiences.length > 0) writeDocument(paths.shareFile(store, name), share, { sync: true });
  else {
    unlinkQuietly(paths.shareFile(store, name));
    syncDirectory(paths.base(store, name));
  }
}

/** All shares, with the names of their bases. */
export function* allShares(store: Store): Generator<readonly [name: string, share: Share]> {
  for (const name of namesIn(paths.bases(store))) {
    const share = name.startsWith(".") ? undefined : readShare(store, name);
    if (share) yield [name, share];
  }
}

/** The names of all usable bases, sorted: those of the store and those that root shares with this user. */
export function namesOfBases(store: Store): string[] {
  const stores = [store, ...sharedStores()];
  return [...new Set(stores.flatMap((one) => listIfAllowed(one)))].sort();
}

/** Empty for a share that is for other users, which this user may not read. */
function listIfAllowed(store: Store): string[] {
  try {
    return listBases(store);
  } catch (error) {
    if (isErrno(error, "EACCES")) return [];
    throw error;
  }
}
