/** Exports a version of a base. */
import { VeneerError, withContextAsync } from "../errors.ts";
import type { Destination } from "../images/destination.ts";
import { type ExportOptions, exportImage } from "../images/export.ts";
import { onInterrupt } from "../process/interrupt.ts";
import { readVersion } from "../store/bases.ts";
import { lockLayers } from "../store/layers.ts";
import { makeStore, type Store } from "../store/paths.ts";
import { SysError } from "../sys/errno.ts";
import { explainStore } from "../sys/explain.ts";
import { geteuid } from "../sys/process.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { exportTree } from "./export-tree.ts";

/**
 * Exports a version: to a tar its merged tree, to an image layer by layer. The version and its layers stay as
 * long as that takes. Nothing of a failed export is left at the destination. Returns an image's digest.
 */
export async function exportBase(
  store: Store,
  ref: BaseRef,
  destination: Destination,
  options: ExportOptions,
): Promise<string | undefined> {
  return withContextAsync(`export ${formatBaseRef(ref)}`, async () => {
    if (geteuid() !== 0) {
      throw new VeneerError("NOT_ROOT", "only root can read every file of a base", { hint: "run as root" });
    }
    // from here on a signal ends a program or is heard before anything is published, and what was made goes
    using interrupted = onInterrupt();
    makeStore(store);
    using _lock = lockLayers(store);
    const base = readVersion(store, ref);
    try {
      if (destination.kind !== "tar" && destination.kind !== "stdout")
        return await exportImage(store, base, destination, options, interrupted.signal);
      const sockets = await exportTree(store, base, destination, options.progress, interrupted.signal);
      if (sockets > 0) options.note(`veneer: ${sockets} sockets are left out: a tar cannot hold them`);
      return undefined;
    } catch (error) {
      throw explained(error);
    }
  });
}

/** Errors of node have the code of the system call too; other programs mention a full disk in their hint. */
function explained(error: unknown): unknown {
  const full = "no space on the destination's file system, or on the store's";
  if (error instanceof VeneerError && error.hint === explainStore("ENOSPC")) {
    return new VeneerError(error.code, error.message, { hint: full });
  }
  const code = error instanceof SysError ? error.code : (error as NodeJS.ErrnoException | undefined)?.code;
  if (error instanceof VeneerError || typeof code !== "string") return error;
  const hint = code === "ENOSPC" ? full : explainStore(code);
  return new VeneerError("WRITE_FAILED", "write the export", { cause: error, hint });
}
