/** `veneer hook oci`: covers the root at createRuntime or prestart, takes it down at poststop. */

import { during, VeneerError } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import {
  hasUserNamespace,
  parseBundleConfig,
  readBundleText,
  rootOptions,
  rootPath,
} from "../request/oci-config.ts";
import { isStopped, readState, type State } from "../request/oci-state.ts";
import { mergeWishes, type Wishes, wishesOfAnnotations } from "../request/root-request.ts";
import { isCovered } from "../start/cover.ts";
import { deleteLater, mergeLater, release } from "../start/release.ts";
import { start } from "../start/start.ts";
import { readNamespace } from "../store/mount-tables.ts";
import { readRecord, recordKey } from "../store/records.ts";
import { explainError } from "../sys/explain.ts";
import { identify } from "../sys/process.ts";
import { usernsOfProcess } from "../userns/of-container.ts";

/** Does nothing for a container that names no base. */
export function hookOci(settings: Settings, wishes: Wishes): void {
  const state = readState();
  if (isStopped(state)) stop(settings, state);
  else begin(settings, wishes, state);
}

function begin(settings: Settings, wishes: Wishes, state: State): void {
  const request = mergeWishes(wishes, wishesOfAnnotations(state.annotations), settings.config, state.id);
  if (!request) return;
  const { id, bundle, pid } = state;
  if (bundle === undefined || !pid) {
    throw new VeneerError(
      "BAD_STATE",
      `the state of container ${id} (${state.status ?? "no status"}) has no bundle or no pid`,
      {
        hint: "configure veneer hook oci at createRuntime (or prestart) and poststop",
      },
    );
  }
  const process = identify(pid);
  if (!process) throw new VeneerError("GONE", `process ${pid} of container ${id} is gone`);
  const file = `${bundle}/config.json`;
  const config = during(`container ${id}`, () => parseBundleConfig(readBundleText(file), file));
  const root = rootPath(config, bundle);
  // the hook may stand at prestart and at createRuntime, or beside the wrapping runtime
  if (during(`look at the root of container ${id}`, () => isCovered(settings.store, pid, root), explainError))
    return;
  if (readNamespace(pid) === readNamespace("self")) {
    throw new VeneerError("NO_NAMESPACE", `container ${id} has no mount namespace of its own`, {
      hint: 'add { "type": "mount" } to linux.namespaces in config.json: the root would be covered on the host',
    });
  }
  using userns = hasUserNamespace(config) ? usernsOfProcess(pid) : undefined;
  start(settings, request, {
    engine: "oci",
    key: recordKey("oci", id, bundle),
    container: id,
    bundle,
    process,
    ...(userns && { userns }),
    place: { placement: "container", pid, root, options: rootOptions(config) },
  });
}

/** Idempotent: a container without a record had no base, or was taken down already. */
function stop(settings: Settings, state: State): void {
  const record = readRecord(settings.store, recordKey("oci", state.id, state.bundle ?? ""));
  if (!record) return;
  const left = release(settings.store, record);
  if (left !== undefined) deleteLater(left);
  mergeLater(settings.store, record);
}
