/** Creates a named instance. Its directory is renamed into place: it appears complete or not at all. */

import { VeneerError } from "../errors.ts";
import { makeUpper } from "../overlay/make-upper.ts";
import { isErrno } from "../sys/errno.ts";
import { createFile, mkdirat, openDirectory, rename, syncDirectory } from "../sys/fd.ts";
import { AT_FDCWD, RENAME_NOREPLACE } from "../sys/flags.ts";
import type { BaseRef } from "../text/names.ts";
import { lockBase, readVersion } from "./bases.ts";
import { type Instance, newDefinition } from "./instances.ts";
import type { Maker } from "./makers.ts";
import { freshUpper, openLayers } from "./open-layers.ts";
import type { Owner } from "./owners.ts";
import { makeStore, paths, type Store } from "./paths.ts";
import { makeStaging } from "./staging.ts";

export interface InstanceOptions {
  readonly opaque: readonly string[];
  readonly mask: readonly string[];
  /** bytes */
  readonly tmpfs?: number;
  /** `veneer mount` created it, and it is removed when that mount is */
  readonly fresh?: boolean;
  readonly owner?: Owner;
  /** absent: the administrator */
  readonly maker?: Maker;
}

/** Creates an instance, durable on return. Throws EXISTS when the name is taken, NO_BASE when there is no such base. */
export function makeInstance(store: Store, id: string, ref: BaseRef, options: InstanceOptions): Instance {
  using _lock = lockBase(store, ref);
  const base = readVersion(store, ref);
  makeStore(store);
  using layers = openLayers(store, base);
  const instance = newDefinition(base, new Date().toISOString(), options);
  const fresh = freshUpper(layers.fds, options);
  using staging = makeStaging(store);
  mkdirat(AT_FDCWD, `${staging.path}/1`, 0o700);
  {
    using directory = openDirectory(`${staging.path}/1`);
    if (options.tmpfs === undefined) makeUpper(directory, fresh.root, fresh.entries);
  }
  // syncing the directory later makes its names durable, but not the contents of this file
  createFile(`${staging.path}/instance.json`, `${JSON.stringify(instance)}\n`, { sync: true });
  publish(store, staging.path, id);
  return instance;
}

/** Renames a complete directory to its final name; durable on return. Throws EXISTS when the name is taken. */
export function publish(store: Store, directory: string, id: string): void {
  try {
    rename(directory, paths.instance(store, id), RENAME_NOREPLACE);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    throw new VeneerError("EXISTS", `instance ${id} exists already`, {
      hint: `use another name, or remove it with 'veneer rm ${id}'`,
    });
  }
  syncDirectory(paths.instances(store));
}
