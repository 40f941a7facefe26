/** What `setup lxc NAME` shall give a container, looked up in the store before anything is written. */
import { makeInstance } from "../apply/create.ts";
import { UsageError } from "../errors.ts";
import type { Settings } from "../input/config.ts";
import { type BaseRef, checkName } from "../names.ts";
import { quote } from "../quote.ts";
import { readVersion } from "../store/bases.ts";
import { checkInstanceBase, readInstance } from "../store/instances.ts";
import type { Store } from "../store/paths.ts";
import type { LxcRoot } from "./lxc.ts";

export interface LxcWishes {
  readonly base?: BaseRef;
  readonly instance?: string;
  readonly persistent: boolean;
}

/** Throws where the base is missing, or the instance is on another one. */
export function lxcRoot(store: Store, container: string, { base, instance, persistent }: LxcWishes): LxcRoot {
  const id = instance ?? (persistent ? instanceName(container) : undefined);
  const known = id === undefined ? undefined : readInstance(store, id);
  if (known) {
    checkInstanceBase(id as string, known, base);
    return { instance: id as string };
  }
  if (!base) {
    throw new UsageError(
      `no base is named for container ${quote(container)}`,
      id === undefined ? "add --base BASE" : `instance ${id} is not there yet: add --base BASE`,
    );
  }
  const { name, version } = readVersion(store, base);
  return id === undefined ? { base } : { instance: id, missing: { name, version } };
}

/** Makes the instance where it is not there yet. Idempotent. */
export function makeMissing({ store, config }: Settings, root: LxcRoot): void {
  if (!("missing" in root) || !root.missing || readInstance(store, root.instance)) return;
  const { opaque, mask } = config;
  makeInstance(store, root.instance, root.missing, { opaque, mask });
}

/** The container's name, as the hook would take it for `--persistent`. */
export function instanceName(container: string): string {
  try {
    return checkName("instance", container);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`container ${quote(container)}: ${error.message}`, "name one with --instance ID");
  }
}
