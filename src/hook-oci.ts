/** `veneer hook oci`: covers the root at createRuntime or prestart, takes it down at poststop. */
import { release } from "./apply/release.ts";
import { start } from "./apply/start.ts";
import { during, VeneerError } from "./errors.ts";
import type { Settings } from "./input/config.ts";
import { parseBundleConfig, readBundleText, refuseUserNamespace, rootPath } from "./input/oci-config.ts";
import { isStopped, readState, type State } from "./input/oci-state.ts";
import { mergeWishes, type Wishes, wishesOfAnnotations } from "./input/request.ts";
import { readRecord, recordKey } from "./store/records.ts";
import { identify } from "./sys/process.ts";

/** Does nothing for a container that names no base. */
export function hookOci(settings: Settings, wishes: Wishes): void {
  const state = readState();
  if (isStopped(state)) stop(settings, state);
  else begin(settings, wishes, state);
}

function begin(settings: Settings, wishes: Wishes, state: State): void {
  const request = mergeWishes(wishes, wishesOfAnnotations(state.annotations), settings.config);
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
  refuseUserNamespace(config, id);
  start(settings, request, {
    engine: "oci",
    key: recordKey("oci", id, bundle),
    container: id,
    bundle,
    process,
    place: { placement: "container", pid, root: rootPath(config, bundle) },
  });
}

/** Idempotent: a container without a record had no base, or was taken down already. */
function stop(settings: Settings, state: State): void {
  const record = readRecord(settings.store, recordKey("oci", state.id, state.bundle ?? ""));
  if (record) release(settings.store, record);
}
