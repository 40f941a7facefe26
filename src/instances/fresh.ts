/** Instances that `veneer mount` creates for one mount, and that are removed with it. */
import { VeneerError } from "../errors.ts";
import { readVersion } from "../store/bases.ts";
import { type InstanceOptions, makeInstance } from "../store/create-instance.ts";
import { deleteInBackground } from "../store/delete-in-background.ts";
import { readInstance } from "../store/instances.ts";
import type { Store } from "../store/paths.ts";
import type { BaseRef } from "../text/names.ts";
import { removeInstance } from "./remove.ts";

export interface FreshOptions extends InstanceOptions {
  readonly base: BaseRef;
}

/**
 * Creates such an instance, in place of one that a crash left over. Throws EXISTS when an ordinary instance has the
 * name.
 */
export function makeFresh(store: Store, id: string, { base, ...options }: FreshOptions): void {
  const known = readInstance(store, id);
  if (known && !known.fresh) {
    throw new VeneerError("EXISTS", `instance ${id} is there already and keeps what is written to it`, {
      hint: `'veneer mount ${id}' mounts it; --fresh needs a name that is free`,
    });
  }
  readVersion(store, base);
  if (known) deleteInBackground(removeInstance(store, id));
  makeInstance(store, id, base, { ...options, fresh: true });
}

/** Removes such an instance; `gc` removes what remains. */
export function removeFresh(store: Store, id: string): void {
  try {
    deleteInBackground(removeInstance(store, id));
  } catch {
    // something else uses it
  }
}
