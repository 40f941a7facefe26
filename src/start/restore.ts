/** Which root a runtime's `restore` may use: a checkpoint holds a container's memory, but none of its files. */
import { VeneerError } from "../errors.ts";
import type { RootRequest } from "../request/root-request.ts";
import { readInstance } from "../store/instances.ts";
import type { Store } from "../store/paths.ts";

/**
 * Throws unless the container's upper still exists. Without it, processes would continue with other files than before;
 * CRIU only verifies those that are open.
 */
export function checkRestorable(store: Store, request: RootRequest): void {
  const { instance } = request;
  const found = instance === undefined ? undefined : readInstance(store, instance);
  if (found && found.tmpfs === undefined) return;
  if (found) {
    throw new VeneerError("GONE", `instance ${instance} had its files in memory, and they are gone`, {
      hint: KEEP,
    });
  }
  if (instance !== undefined && request.persistent) {
    throw new VeneerError("NO_INSTANCE", `no instance ${instance} in ${store.root}`, {
      hint: "a checkpoint holds no files: name the instance that the container had with run.veneer.instance",
    });
  }
  throw new VeneerError("GONE", "its upper was ephemeral, and its files are gone", { hint: KEEP });
}

const KEEP =
  "start containers that are to be checkpointed with run.veneer.upper=persistent and without run.veneer.tmpfs";
