/** Changes instances that must not be in use in the meantime. */

import { withContext } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import { inUse, refuseHeld, refuseInUse } from "../start/refuse-held.ts";
import { reclaim } from "../start/release.ts";
import { partDirectories } from "../store/frozen-uppers.ts";
import type { Instance } from "../store/instances.ts";
import { isMountedAtTarget } from "../store/mounts/identity.ts";
import { keeperOfCopy } from "../store/mounts/mount-copies.ts";
import { paths, type Store } from "../store/paths.ts";
import { findHolder } from "../store/records.ts";
import { holdLxc } from "./lxc-mount.ts";
import { mountLocked, unmount } from "./mount.ts";

/**
 * Runs `change` while the instance is not mounted. A mount of `veneer mount` is unmounted for that and mounted again in
 * the same place: with the definition that `change` returns or, when that throws, as before. The caller holds the lock
 * of the instance. Throws when a container holds the instance, or when a process uses the mount.
 */
export function changeUnmounted(
  settings: Settings,
  id: string,
  instance: Instance,
  change: () => Instance,
): Instance {
  const { store } = settings;
  using _lxc = holdLxc(store, id);
  const holder = findHolder(store, id);
  const { target } = holder ?? {};
  const here = holder?.engine === "mount" && target !== undefined && isMountedAtTarget(holder);
  if (!here) {
    refuseMounted(store, id, instance);
    return change();
  }
  // before anything is unmounted, so that a refusal changes nothing
  const keeper = holder.overlay?.device && keeperOfCopy(holder.overlay.device, target);
  if (keeper) throw inUse(id, keeper);
  const mounted = instance.mounted?.target === target ? instance.mounted : { target };
  unmount(id, target);
  reclaim(store, holder);
  let changed: Instance;
  try {
    refuseMounted(store, id, instance);
    changed = change();
  } catch (error) {
    mountLocked(settings, id, instance, mounted);
    throw error;
  }
  withContext(`mount ${id} again, after the change`, () => mountLocked(settings, id, changed, mounted));
  return changed;
}

/** Throws when the instance is mounted anywhere. The caller holds the lock of the instance. */
export function refuseMounted(store: Store, id: string, instance: Instance): void {
  refuseHeld(store, id);
  refuseInUse(id, partDirectories(paths.generation(store, id, instance.generation), instance));
}
