/** Plans a start for which everything has been decided, and runs the plan. */
import { VeneerError } from "../errors.ts";
import { type IdmappedTrees, type IdmapResult, idmapTrees } from "../overlay/idmapped-trees.ts";
import { mountSource } from "../overlay/mount-source.ts";
import { logEvent } from "../report/event-log.ts";
import type { Settings } from "../request/config.ts";
import { isLive } from "../store/mounts/liveness.ts";

import type { OpenLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import { readRecord } from "../store/records.ts";
import { identifySelf } from "../sys/process.ts";
import { warn } from "../sys/self.ts";
import { displayName, formatBaseRef } from "../text/names.ts";
import { planStart, type StartFacts, type StartTarget } from "./plan.ts";
import { reclaim } from "./release.ts";
import { describe, runOperations } from "./run-operations.ts";

export interface Prepared extends Omit<StartFacts, "store" | "layers" | "source" | "preparer" | "now"> {
  readonly layers: OpenLayers;
  readonly idmap: IdmappedTrees | undefined;
}

/** Plans the start as data, prints the plan with --debug, and runs it. Throws as {@link runOperations} does. */
export function carryOut(settings: Settings, { layers, idmap, ...rest }: Prepared): void {
  const { target, instance } = rest;
  const operations = planStart({
    ...rest,
    store: settings.store,
    layers: layers.paths,
    source: mountSource(instance ?? (rest.ephemeral as string)),
    preparer: target.preparer ?? identifySelf(),
    now: new Date().toISOString(),
  });
  if (settings.debug) for (const operation of operations) warn(`veneer: ${describe(operation)}`);
  const { engine, container } = target;
  const report = (error: unknown) =>
    logEvent(settings.config, { event: "error", engine, container, instance, error });
  runOperations(settings.store, operations, layers.fds, report, idmap);
  const base = formatBaseRef({ name: rest.base.name, version: rest.base.version });
  logEvent(settings.config, { event: "start", engine, container, instance, base });
}

/**
 * The layers idmapped to the target's user namespace, or the reason why they cannot be; undefined for a target without
 * a user namespace.
 */
export function idmapFor(
  { root }: Store,
  { userns }: StartTarget,
  layers: Pick<OpenLayers, "fds" | "paths">,
  how: { readonly inMemory: boolean; readonly image?: boolean },
): IdmapResult | undefined {
  // never closed: that waits for an RCU grace period, milliseconds on a busy machine, and they end with this process
  return userns && idmapTrees({ layers: layers.fds, names: layers.paths, root, userns: userns.fd, ...how });
}

/** Cleans up after an earlier start of the same container that was not released. */
export function replaceOwnRecord(store: Store, target: StartTarget): void {
  const old = readRecord(store, target.key);
  if (!old) return;
  if (isLive(old)) {
    const what = `${displayName(target.container ?? target.key)} already runs on ${old.source}`;
    throw new VeneerError("RUNNING", `container ${what}`, {
      hint: "'veneer ps' shows what runs; stop it first",
    });
  }
  reclaim(store, old);
}
