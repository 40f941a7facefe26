/** Adopts an LXC container that has an overlay of LXC's own: its changes become an instance's. */
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
  /** options before the command in the hooks */
  readonly globals: readonly string[];
  readonly request: SetupRequest;
}

/** What {@link adoptLxc} would write. Throws where it would. */
export function planAdoption(store: Store, adoption: LxcAdoption): Edit[] {
  checkAdoptable(store, readLxcOverlay(adoption.container), adoption);
  return planSetup(store, engineOf(adoption), adoption.request);
}

/**
 * Copies the container's changes to a new instance, then lets its configuration start it on that. A kill in
 * between leaves the container as it was. The container's own upper stays as it is. Throws, and leaves
 * everything as it was, when the container is started meanwhile. Returns the changed files.
 */
export async function adoptLxc(store: Store, adoption: LxcAdoption, progress: Progress): Promise<Edit[]> {
  const foreign = readLxcOverlay(adoption.container);
  const engine = engineOf(adoption);
  const edits = planSetup(store, engine, adoption.request);
  await adoptUpper(store, foreign, adoption, progress);
  try {
    carryOutSetup(store, engine, edits);
    try {
      // from here on it starts with the hook; one that was started before has changes that the copy lacks
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
