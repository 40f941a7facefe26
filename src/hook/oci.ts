/** `veneer hook oci`: covers the root at createRuntime or prestart and releases it at poststop. */

import { VeneerError, withContext } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import { refuseInstanceOfImage, refuseLabelsOfImage } from "../request/image-annotations.ts";
import {
  hasUserNamespace,
  parseBundleConfig,
  readBundleText,
  rootOptions,
  rootPath,
} from "../request/oci-config.ts";
import { isStopped, readState, type State } from "../request/oci-state.ts";
import { mergeOptions, optionsOfAnnotations, type RequestOptions } from "../request/root-request.ts";
import { tenantOf } from "../request/tenant.ts";
import { isCovered } from "../start/cover.ts";
import { start } from "../start/start.ts";
import { readNamespace } from "../store/mounts/mount-tables.ts";
import type { Store } from "../store/paths.ts";
import { findRecords, readRecord, recordKey } from "../store/records.ts";
import { explainError } from "../sys/explain.ts";
import { identify } from "../sys/process.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { usernsOfProcess } from "../userns/of-container.ts";
import { lateStage, refuseLate, refusePoststopAlone } from "./oci-stage.ts";
import { releaseAtEnd } from "./poststop.ts";

/** Runs the hook for the state on stdin. Does nothing for a container that names no base. */
export function hookOci(settings: Settings, requested: RequestOptions): void {
  const state = readState();
  if (isStopped(state)) stop(settings, requested, state);
  else begin(settings, requested, state);
}

function begin(settings: Settings, requested: RequestOptions, state: State): void {
  const asked = optionsOfAnnotations(state.annotations);
  const request = mergeOptions(requested, asked, settings.config, state.id);
  if (!request) return;
  const { id, bundle, pid } = state;
  const stage = lateStage(state);
  if (stage !== undefined) {
    // a hook at createRuntime or the wrapping runtime has already mounted the root
    if (hasRoot(settings.store, state)) return;
    refuseLate(stage, state);
  }
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
  const config = withContext(`container ${id}`, () => parseBundleConfig(readBundleText(file), file));
  const root = rootPath(config, bundle);
  if (requested.instance === undefined) refuseInstanceOfImage(root, asked.instance);
  refuseLabelsOfImage(file, asked);
  // the hook may be configured at both prestart and createRuntime, or together with the wrapping runtime
  const { store } = settings;
  if (withContext(`look at the root of container ${id}`, () => isCovered(store, pid, root), explainError)) {
    refuseSecondBase(store, state, request.base);
    return;
  }
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
    tenant: tenantOf(bundle, state.annotations),
    process,
    ...(userns && { userns }),
    mountAt: { kind: "cover", pid, root, options: rootOptions(config) },
  });
}

/** A container may have two of our hooks, as with two CDI devices. Throws when they name different bases. */
function refuseSecondBase(store: Store, { id, bundle = "" }: State, wanted: BaseRef | undefined): void {
  const other = findRecords(store, id, bundle).find(
    ({ base, version }) =>
      wanted && (wanted.name !== base || (wanted.version !== undefined && wanted.version !== version)),
  );
  if (!other || !wanted) return;
  const has = formatBaseRef({ name: other.base, version: other.version });
  throw new VeneerError(
    "TWO_BASES",
    `container ${id} has ${has} already, and ${formatBaseRef(wanted)} is named too`,
    {
      hint: "name one base for a container",
    },
  );
}

function hasRoot(store: Store, { id, bundle = "" }: State): boolean {
  return findRecords(store, id, bundle).length > 0;
}

/** Releases the root. Idempotent: a container without a record had no base, or has been released already. */
function stop(settings: Settings, requested: RequestOptions, state: State): void {
  const record = readRecord(settings.store, recordKey("oci", state.id, state.bundle ?? ""));
  if (!record) {
    const request = mergeOptions(
      requested,
      optionsOfAnnotations(state.annotations),
      settings.config,
      state.id,
    );
    if (request) refusePoststopAlone(state);
    return;
  }
  releaseAtEnd(settings, record);
}
