/** What root's store says of bases that are shared with users (bases/NAME/share.json). */
import validateShare from "../generated/share.js";
import { isErrno } from "../sys/errno.ts";
import { syncDirectory, unlinkQuietly } from "../sys/fd.ts";
import { readDocument, writeDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";
import { type Audience, sharedStores } from "./shared.ts";
import { listBases, namesIn } from "./versions.ts";

export interface Share {
  readonly audiences: readonly Audience[];
  /** by number; `flat`: a layer that shows what those of the version show */
  readonly versions: Readonly<Record<string, { readonly flat?: string }>>;
}

/** Undefined where the base is not shared. */
export function readShare(store: Store, name: string): Share | undefined {
  return readDocument<Share>(paths.shareFile(store, name), validateShare);
}

/** Durable on return. A share with nobody is none. */
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

/** Names of all bases that can be started on: the store's own and those that root shares with this user, sorted. */
export function namesOfBases(store: Store): string[] {
  const stores = [store, ...sharedStores()];
  return [...new Set(stores.flatMap((one) => listIfAllowed(one)))].sort();
}

/** A share that is for others cannot be looked into. */
function listIfAllowed(store: Store): string[] {
  try {
    return listBases(store);
  } catch (error) {
    if (isErrno(error, "EACCES")) return [];
    throw error;
  }
}
