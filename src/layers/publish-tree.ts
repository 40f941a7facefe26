/**
 * Publishes an imported tree as a version: as a single layer, or as a difference layer on those of the version below.
 */
import { VeneerError } from "../errors.ts";
import { throwIfInterrupted } from "../process/interrupt.ts";
import { runProgram } from "../process/run-program.ts";
import { type BaseVersion, readVersion } from "../store/bases.ts";
import { publishLayer } from "../store/layers.ts";
import type { Store } from "../store/paths.ts";
import { readBaseFile } from "../store/versions.ts";
import { SysError } from "../sys/errno.ts";
import { explainStore } from "../sys/explain.ts";
import { isSame, type TreeDifference } from "./compare-trees.ts";
import { shortenLayers } from "./flatten.ts";
import type { ImportOptions } from "./owners.ts";
import { publishVersion, type VersionContent } from "./publish-version.ts";
import { findSameLayer } from "./same-layer.ts";
import { sealLayer } from "./seal.ts";
import { shareNew } from "./share-files.ts";

/** Whether no version is wanted, because nothing differs. */
export function isUnchanged(difference: TreeDifference, { always }: ImportOptions): boolean {
  return !always && isSame(difference);
}

/** Whether this version is the current one of its base. */
export function isCurrent(store: Store, { name, version }: BaseVersion): boolean {
  return readBaseFile(store, name)?.current === version;
}

/** The version below a difference layer; undefined when the base does not exist yet. */
export function currentVersion(store: Store, name: string): BaseVersion | undefined {
  return readBaseFile(store, name) && readVersion(store, { name });
}

/**
 * Publishes one layer (a directory in staging that contains `tree`) as a version, on the layers of `below`. Syncs the
 * data while it makes the listing; durable on return. The caller holds the lock of the layers.
 */
export async function publishTree(
  store: Store,
  name: string,
  layer: string,
  {
    origin,
    below,
    config,
  }: Pick<VersionContent, "origin" | "config"> & { readonly below: BaseVersion | undefined },
  { progress, candidate, shareFiles, signal }: ImportOptions & { readonly signal: AbortSignal },
): Promise<BaseVersion> {
  const shared = shareNew(store, `${layer}/tree`, progress, shareFiles);
  progress.step("listing and writing to disk");
  const flushed = runProgram("sync", ["-f", layer]);
  try {
    const sealed = sealLayer(layer, { origin, shared });
    await flushed;
    throwIfInterrupted(signal);
    const same = findSameLayer(store, sealed);
    if (same === undefined) publishLayer(store, sealed);
    const others = below ? await shortenLayers(store, below.manifest.layers, progress) : [];
    const from = below?.manifest.from;
    return publishVersion(store, name, {
      layers: [{ id: same ?? sealed.id }, ...others],
      origin,
      candidate,
      ...(config && { config }),
      ...(from && { from }),
    });
  } catch (error) {
    await flushed.catch(() => {});
    throw error instanceof SysError
      ? new VeneerError("WRITE_FAILED", "write to the store", {
          cause: error,
          hint: explainStore(error.code),
        })
      : error;
  }
}
