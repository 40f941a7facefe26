/** `veneer hook oci --release KEY`: the poststop hook of a container whose root was mounted on the host. */

import { UsageError } from "../errors.ts";
import { logStop } from "../report/event-log.ts";
import type { Settings } from "../request/config.ts";
import { isStopped, readState } from "../request/oci-state.ts";
import { mergeLater, release } from "../start/release.ts";
import { deleteInBackground } from "../store/delete-in-background.ts";
import type { Store } from "../store/paths.ts";
import { readRecord, type UseRecord } from "../store/records.ts";
import { MINIMAL_ENVIRONMENT } from "../sys/environment.ts";
import { endAndGoOn } from "../sys/process/background.ts";
import { programPath } from "../sys/self.ts";
import { quote } from "../text/quote.ts";

/** The hook in config.json that releases one record, as JSON text. */
export function releaseHook(store: Store, key: string): string {
  return JSON.stringify({
    path: programPath(),
    args: ["veneer", "--root", store.root, "--run", store.run, "hook", "oci", "--release", key],
    env: MINIMAL_ENVIRONMENT,
    // no timeout: with one, crun misses the end of the hook when another of its children ends at the same time
  });
}

/** Releases the record with that key. Idempotent. Throws when the container in the state on stdin has not stopped. */
export function releaseByKey(settings: Settings, key: string): void {
  if (!/^[A-Za-z0-9_+.-]{1,128}~[0-9a-f]{16}$/.test(key))
    throw new UsageError(`record ${quote(key)} is not valid`);
  const state = readState();
  if (!isStopped(state)) {
    throw new UsageError(
      `container ${state.id} has not stopped (${state.status ?? "no status"})`,
      "--release is for the poststop hook that veneer puts into config.json",
    );
  }
  const record = readRecord(settings.store, key);
  if (!record) return;
  releaseAtEnd(settings, record);
}

/**
 * Releases a record at the end of its container. When there is an upper to delete, does not return: this process ends,
 * and a child deletes the upper, however large it is.
 */
export function releaseAtEnd({ store, config }: Settings, record: UseRecord): void {
  const left = release(store, record, true);
  logStop(config, record);
  mergeLater(store, record);
  if (left !== undefined) endAndGoOn(() => deleteInBackground(left));
}
