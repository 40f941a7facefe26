/** Determines the root that `setup lxc NAME` gives a container, before anything is written. */

import { UsageError } from "../errors.ts";
import { holdLxc, instanceOfRoot, lxcRootLine, refuseUnmountable } from "../instances/lxc-mount.ts";
import type { Settings } from "../request/config.ts";
import { refuseHeld } from "../start/refuse-held.ts";
import { readVersion } from "../store/bases.ts";
import { makeInstance } from "../store/create-instance.ts";
import { checkInstanceBase, lockInstance, readInstance, requireLock } from "../store/instances.ts";
import { linkConfig, lxcConfigOf, lxcDirectory, refuseLxcMounted } from "../store/lxc-mount.ts";
import type { Store } from "../store/paths.ts";
import { mkdirMaybe } from "../sys/fd.ts";
import { type BaseRef, checkName } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { containerConfig, type LxcContainer, lxcRootOf } from "./lxc-container.ts";
import type { UpperOptions, UpperRoot } from "./upper-root.ts";

export interface LxcOptions {
  readonly base?: BaseRef;
  readonly instance?: string;
  readonly persistent: boolean;
  readonly options?: UpperOptions;
}

/** Throws when the base does not exist, or the instance is on another base. */
export function lxcRoot(store: Store, container: string, wishes: LxcOptions): UpperRoot {
  const { base, instance, persistent, options } = wishes;
  const id = instance ?? (persistent ? instanceName(container) : undefined);
  const known = id === undefined ? undefined : readInstance(store, id);
  if (known) {
    checkInstanceBase(id as string, known, base);
    if (options) {
      throw new UsageError(
        `instance ${id} exists already: --opaque, --mask and --tmpfs are for a new one`,
        "leave them out",
      );
    }
    return { instance: id as string };
  }
  if (!base) {
    throw new UsageError(
      `no base is named for container ${quote(container)}`,
      id === undefined ? "add --base BASE" : `instance ${id} does not exist yet: add --base BASE`,
    );
  }
  const { name, version } = readVersion(store, base);
  const more = options && { options };
  return id === undefined ? { base, ...more } : { instance: id, missing: { name, version }, ...more };
}

/** Creates the instance if it does not exist yet. Idempotent. */
export function makeMissing({ store, config }: Settings, root: UpperRoot): void {
  if (!("missing" in root) || !root.missing || readInstance(store, root.instance)) return;
  const { opaque, mask } = config;
  makeInstance(store, root.instance, root.missing, { opaque, mask, ...root.options });
}

/** The instance name that the hook derives from the name of a container for `--persistent`. */
export function instanceName(container: string): string {
  try {
    return checkName("instance", container);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`container ${quote(container)}: ${error.message}`, "name one with --instance ID");
  }
}

/** The root that LXC mounts itself for an instance, which may not exist yet. Throws when LXC cannot mount it. */
export function lxcLine(store: Store, root: UpperRoot): string {
  if ("base" in root) throw new UsageError("--hookless needs --persistent or --instance ID");
  const id = root.instance;
  const known = readInstance(store, id);
  if (known) refuseUnmountable(id, known);
  const ref = known ? { name: known.base, version: known.version } : (root.missing as BaseRef);
  const base = readVersion(store, ref);
  const generation = known ?? { base: base.name, version: base.version, digest: "", generation: 1 };
  return lxcRootLine(store, id, generation, base);
}

/**
 * Locks the instances that LXC mounts or will mount itself for a container, so that nothing starts on them until the
 * scope ends; by then the configuration of the container must be written. Throws when one is in use.
 */
export function holdRoots(store: Store, container: LxcContainer, to?: string): Disposable {
  const config = containerConfig(container);
  const from = instanceOfRoot(store, lxcRootOf(container));
  const stack = new DisposableStack();
  try {
    for (const id of new Set([from, to])) {
      const lock =
        id === undefined ? undefined : id === to ? requireLock(store, id) : lockInstance(store, id);
      if (id === undefined || !lock) continue;
      stack.use(lock);
      if (id === to) claim(store, id, config);
      stack.use(holdLxc(store, id));
    }
    return stack;
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

function claim(store: Store, id: string, config: string): void {
  refuseHeld(store, id);
  const other = lxcConfigOf(store, id);
  if (other !== undefined && other !== config) refuseLxcMounted(store, id);
  mkdirMaybe(lxcDirectory(store, id), 0o700);
  linkConfig(store, id, config);
}
