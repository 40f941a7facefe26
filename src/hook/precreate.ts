/**
 * `veneer hook precreate`: podman's stage before it calls the runtime. Reads the proposed config.json from stdin and
 * writes it with another root to stdout (oci-hooks(5)). The overlay is mounted on the host, because nothing of the
 * container exists yet; a poststop hook that is added to config.json unmounts it.
 */

import { UsageError } from "../errors.ts";
import { appendToArray, replaceValue } from "../request/bundle-edit.ts";
import type { Settings } from "../request/config.ts";
import { refuseInstanceOfImage } from "../request/image-annotations.ts";
import { checkBundleConfig, parseBundleText } from "../request/oci-config.ts";
import { containerIdOf } from "../request/podman.ts";
import { mergeOptions, optionsOfAnnotations, type RequestOptions } from "../request/root-request.ts";
import type { Operation } from "../start/operations.ts";
import { reclaim } from "../start/release.ts";
import { start } from "../start/start.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { paths, type Store } from "../store/paths.ts";
import { listRecords, recordKey, type UseRecord } from "../store/records.ts";
import { DOCUMENT_LIMIT, readAll, uniqueSuffix, writeAll } from "../sys/fd.ts";
import { identify } from "../sys/process.ts";
import { getppid, workingDirectory } from "../sys/self.ts";
import { requireRoot, usernsOfConfig } from "../userns/of-container.ts";
import { releaseHook } from "./poststop.ts";

const INPUT = "config.json on stdin";
const HINT = "veneer hook precreate is started by podman, which gives it the container's config.json";

/** Copies stdin to stdout unchanged for a container that names no base. Writes nothing to stdout on failure. */
export function hookPrecreate(settings: Settings, requested: RequestOptions): void {
  const bytes = readAll(0, DOCUMENT_LIMIT, INPUT);
  const text = new TextDecoder().decode(bytes);
  const data = parseBundleText(text, INPUT, HINT);
  const stopped = stoppedContainer(data);
  if (stopped !== undefined) {
    reclaimEarlier(settings.store, stopped);
    return;
  }
  const config = checkBundleConfig(data, INPUT);
  const container = containerIdOf(config, workingDirectory());
  const asked = optionsOfAnnotations(config.annotations);
  const request = mergeOptions(requested, asked, settings.config, container);
  if (!request) {
    writeAll(1, bytes, "stdout");
    return;
  }
  if (requested.instance === undefined) refuseInstanceOfImage(config.root.path, asked.instance);
  if (request.persistent && request.instance === undefined) {
    throw new UsageError(
      "a persistent upper needs a name: podman does not give this hook the container's id",
      "add the annotation run.veneer.instance",
    );
  }
  const { store } = settings;
  if (container !== undefined) reclaimEarlier(store, container);
  // config.json has no id, and containers may share a root path (--rootfs), so each start gets a key of its own
  const key = recordKey("precreate", container ?? "podman", uniqueSuffix());
  using userns = usernsOfConfig(store, config);
  const target = userns ? paths.mappedPoint(store, key) : paths.rootPoint(store, key);
  const print = (record: UseRecord): Operation[] => {
    const moved = replaceValue(text, ["root", "path"], JSON.stringify(target));
    return [
      {
        op: "print",
        text: appendToArray(moved, ["hooks", "poststop"], releaseHook(store, record.key)),
      },
    ];
  };
  // podman waits until the runtime has created the container; from then on the container itself uses the overlay
  const podman = identify(getppid());
  start(
    settings,
    request,
    {
      engine: "precreate",
      key,
      ...(container !== undefined && { container }),
      ...(podman && { preparer: podman }),
      tenant: "podman",
      ...(userns && { userns }),
      mountAt: {
        kind: "directory",
        placement: "host",
        path: target,
        own: true,
        ...(userns && { owner: requireRoot(userns.map) }),
      },
    },
    print,
  );
}

/** The id if stdin has a container's state instead: one file in hooks.d may name both precreate and poststop. */
function stoppedContainer(data: unknown): string | undefined {
  const { id, root } = (data ?? {}) as { readonly id?: unknown; readonly root?: unknown };
  return typeof id === "string" && root === undefined ? id : undefined;
}

/** Cleans up after starts that failed after this hook, for which no runtime ran the poststop hook. */
function reclaimEarlier(store: Store, container: string): void {
  for (const record of listRecords(store, `${container}~`)) {
    if (record.engine === "precreate" && record.container === container && !isLive(record)) {
      reclaim(store, record);
    }
  }
}
