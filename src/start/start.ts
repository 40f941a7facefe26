/** Gives a container its root. The kind of start is decided before anything is created. */

import { UsageError, withContext } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import type { RootRequest } from "../request/root-request.ts";
import { readInstance } from "../store/instances.ts";
import { makeRun, makeStore } from "../store/paths.ts";
import { explainError } from "../sys/explain.ts";
import { requireKernel } from "../sys/kernel.ts";
import { displayName } from "../text/names.ts";
import type { AfterMount, StartTarget } from "./plan.ts";
import { requireShifted } from "./shifted-layers.ts";

import { startEphemeral } from "./start-ephemeral.ts";
import { makeNamed, startNamed } from "./start-named.ts";

/**
 * Mounts a root for a target. On return the overlay is mounted and its record is written; on failure nothing is left
 * behind. Refuses a second start of a named instance with an error that names the holder.
 */
export function start(
  settings: Settings,
  request: RootRequest,
  target: StartTarget,
  afterMount?: AfterMount,
): void {
  const { store } = settings;
  const what = displayName(request.instance ?? target.container ?? target.key);
  withContext(
    `start ${what}`,
    () => {
      requireKernel();
      makeStore(store);
      makeRun(store);
      const { instance } = request;
      const known = instance !== undefined && readInstance(store, instance) !== undefined;
      const named = known || (instance !== undefined && request.persistent);
      if (request.layered) checkLayered(target, named);
      if (named) {
        if (!known) makeNamed(store, instance, request, target);
        startNamed(settings, request, target, afterMount);
        return;
      }
      const refusal = startEphemeral(settings, request, target, afterMount);
      if (!refusal) return;
      // start on copies with shifted owners, and on an upper with shifted owners
      const base = requireShifted(settings, request, target.userns?.map, refusal);
      startEphemeral(settings, { ...request, base }, target, afterMount, target.userns?.map);
    },
    explainError,
  );
}

/** Refuses an upper that outlives the start on an image's tree: veneer could not find that tree again. */
function checkLayered(target: StartTarget, named: boolean): void {
  const what = "run.veneer.rootfs=layer";
  if (named) {
    throw new UsageError(
      `${what} needs an ephemeral upper`,
      "add run.veneer.upper=ephemeral, or name no instance; or make a base of the image: 'veneer base import'",
    );
  }
  if (target.engine !== "runtime") {
    throw new UsageError(
      `${what} needs the wrapping runtime`,
      "use veneer-runc or veneer-crun, not the hook",
    );
  }
}
