/** Adopts a container whose overlay LXC itself mounts: its changes become those of an instance. */
import { type AdoptOptions, adoptUpper, checkAdoptable, refuseRunning } from "../instances/adopt.ts";
import { removeInstance } from "../instances/remove.ts";
import type { Progress } from "../process/progress.ts";
import type { Store } from "../store/paths.ts";
import { removeTree } from "../store/trash.ts";
import type { SetupRequest } from "./engine.ts";
import { lxcContainer } from "./lxc.ts";
import { type LxcContainer, readLxcOverlay } from "./lxc-container.ts";
import { carryOutSetup, carryOutUnsetup, type Edit, planSetup, planUnsetup } from "./setup.ts";

export interface LxcAdoption extends AdoptOptions {
  readonly container: LxcContainer;
  /** options that stand before the command in the hooks */
  readonly globals: readonly string[];
  readonly request: SetupRequest;
}

/** What {@link adoptLxc} would write, and the errors it would throw. Changes nothing. */
export function planAdoption(store: Store, adoption: LxcAdoption): Edit[] {
  checkAdoptable(store, readLxcOverlay(adoption.container), adoption);
  return planSetup(store, engineOf(adoption), adoption.request);
}

/**
 * Copies the changes of a container to a new instance, then changes its configuration so that it starts on that
 * instance. The container's own upper is not touched, and a kill in between leaves the container as it was. Throws and
 * reverts everything when the container is started meanwhile. Returns the changed files.
 */
export async function adoptLxc(store: Store, adoption: LxcAdoption, progress: Progress): Promise<Edit[]> {
  const foreign = readLxcOverlay(adoption.container);
  const engine = engineOf(adoption);
  const edits = planSetup(store, engine, adoption.request);
  await adoptUpper(store, foreign, adoption, progress);
  try {
    carryOutSetup(store, engine, edits);
    try {
      // from here on it starts with the hook, but if it was started before, it has changes that the copy lacks
      refuseRunning(foreign);
    } catch (error) {
      carryOutUnsetup(store, engine, planUnsetup(store, engine, adoption.request));
      throw error;
    }
  } catch (error) {
    removeTree(removeInstance(store, adoption.id));
    throw error;
  }
  return edits;
}

function engineOf({ container, id, globals, request }: LxcAdoption) {
  return lxcContainer(container, { instance: id }, globals, request.etc, () => true);
}
