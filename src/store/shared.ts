/** Bases that the machine's root shares with users: read by users here, written by root in share.ts. */

import { VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { geteuid } from "../sys/process.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { inUserNamespace, outerUser } from "../sys/user-namespace.ts";
import { paths, type Store } from "./paths.ts";

/** Beside root's records, and like them made anew after a reboot. */
export const SHARED = "/run/veneer-shared";

/** Whom a base is shared with: a user, whose ids its files then have, or all, to whom they are nobody's. */
export type Audience = number | "all";

/** What one audience has looks like a store with bases alone; `layers/ID` are mounts. */
export function sharedStore(place: string, audience: Audience): Store {
  const root = `${place}/${audience}`;
  return { root, run: root };
}

const isUser = () => inUserNamespace() || geteuid() !== 0;

/** The stores that root shares with this user, the user's own share first; none for root itself. */
export function sharedStores(): Store[] {
  if (!isUser()) return [];
  const uid = geteuid() || outerUser();
  if (!uid) return [];
  return [sharedStore(SHARED, uid), sharedStore(SHARED, "all")];
}

/** The store in which a base is looked up: the own one, or where that has none of the name, one that root shares. */
export function storeOfBase(store: Store, name: string): Store {
  if (!isUser() || lstatMaybe(paths.baseFile(store, name))) return store;
  return sharedStores().find((shared) => isThere(paths.baseFile(shared, name))) ?? store;
}

/** Whether a base is one that root shares. */
export function isShared(store: Store, name: string): boolean {
  return storeOfBase(store, name) !== store;
}

/** Throws for a base that root shares: a user does not change it. */
export function refuseShared(store: Store, name: string): void {
  if (!isShared(store, name)) return;
  throw new VeneerError("SHARED", `base ${name} belongs to root, who shares it with users`, {
    hint: `'veneer base new NAME --from ${name}' makes one of your own on top of it`,
  });
}

function isThere(path: string): boolean {
  try {
    return lstatMaybe(path) !== undefined;
  } catch (error) {
    // of a share that was taken back from this user
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}
