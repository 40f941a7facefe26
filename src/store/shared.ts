/** Bases that the machine's root shares with users. Users read them here; root writes them in share.ts. */

import { VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { geteuid } from "../sys/process.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { inUserNamespace, outerUser } from "../sys/user-namespace.ts";
import { paths, type Store } from "./paths.ts";

/** In /run like root's records, and like them recreated after a reboot. */
export const SHARED = "/run/veneer-shared";

/** With whom a base is shared: one user, who sees its files with ids of their own, or all, who see them as nobody's. */
export type Audience = number | "all";

/** The share of one audience, laid out like a store that has only bases; its `layers/ID` are mounts. */
export function sharedStore(place: string, audience: Audience): Store {
  const root = `${place}/${audience}`;
  return { root, run: root };
}

const isUser = () => inUserNamespace() || geteuid() !== 0;

/** The shares that this user can use, the user's own first; none for root itself. */
export function sharedStores(): Store[] {
  if (!isUser()) return [];
  const uid = geteuid() || outerUser();
  if (!uid) return [];
  return [sharedStore(SHARED, uid), sharedStore(SHARED, "all")];
}

/** The store that has a base: this store, or else a share of root's. This store where neither has it. */
export function storeOfBase(store: Store, name: string): Store {
  if (!isUser() || lstatMaybe(paths.baseFile(store, name))) return store;
  return sharedStores().find((shared) => isThere(paths.baseFile(shared, name))) ?? store;
}

/** Whether a base comes from a share of root's. */
export function isShared(store: Store, name: string): boolean {
  return storeOfBase(store, name) !== store;
}

/** Throws SHARED for a base that comes from a share of root's: users cannot change it. */
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
    // the share was withdrawn from this user
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}
