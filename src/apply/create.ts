/** Makes a named instance: its directory appears whole, by rename, or not at all. */

import { VeneerError } from "../errors.ts";
import { freshUpper, openLayers } from "../input/facts.ts";
import type { BaseRef } from "../names.ts";
import { lockBase, readVersion } from "../store/bases.ts";
import { writeDocument } from "../store/document.ts";
import type { Instance } from "../store/instances.ts";
import { paths, type Store } from "../store/paths.ts";
import { removeTree } from "../store/trash.ts";
import { isErrno } from "../sys/errno.ts";
import { mkdirat, openDirectory, rename, syncDirectory, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD, RENAME_NOREPLACE } from "../sys/flags.ts";
import { makeUpper } from "./upper.ts";

export interface InstanceWishes {
  readonly opaque: readonly string[];
  readonly mask: readonly string[];
  /** bytes */
  readonly tmpfs?: number;
}

/** Throws EXISTS when the name is taken. What is made is durable when this returns. */
export function makeInstance(store: Store, id: string, ref: BaseRef, wishes: InstanceWishes): Instance {
  using _lock = lockBase(store, ref);
  const base = readVersion(store, ref);
  using layers = openLayers(store, base);
  const now = new Date().toISOString();
  const instance: Instance = {
    base: base.name,
    version: base.version,
    digest: base.manifest.digest,
    generation: 1,
    since: now,
    created: now,
    opaque: wishes.opaque,
    mask: wishes.mask,
    ...(wishes.tmpfs !== undefined && { tmpfs: wishes.tmpfs }),
  };
  const fresh = freshUpper(layers.fds, wishes);
  const staging = `${paths.staging(store)}/${uniqueSuffix()}`;
  mkdirat(AT_FDCWD, staging, 0o700);
  try {
    mkdirat(AT_FDCWD, `${staging}/1`, 0o700);
    {
      using directory = openDirectory(`${staging}/1`);
      if (wishes.tmpfs === undefined) makeUpper(directory, fresh.root, fresh.entries);
    }
    writeDocument(`${staging}/instance.json`, instance, { sync: true });
    rename(staging, paths.instance(store, id), RENAME_NOREPLACE);
  } catch (error) {
    removeTree(staging);
    if (isErrno(error, "EEXIST"))
      throw new VeneerError("EXISTS", `instance ${id} exists already`, {
        hint: `use another name, or remove it with 'veneer rm ${id}'`,
      });
    throw error;
  }
  syncDirectory(paths.instances(store));
  return instance;
}
