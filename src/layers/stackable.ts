/** Checks, with a temporary mount, whether the kernel accepts a layer of the store above a base in place. */
import { VeneerError } from "../errors.ts";
import { mountOverlay } from "../overlay/mount.ts";
import type { BaseVersion } from "../store/bases.ts";
import { isErrno } from "../sys/errno.ts";
import { openDirectory } from "../sys/fd.ts";
import { formatBaseRef } from "../text/names.ts";

/**
 * Throws NOT_STACKABLE for a combination on which nothing could start: overlayfs refuses layers that contain each
 * other, such as a base in place whose directory contains the store. Call it before creating the layer; `directory` is
 * an empty directory where the layer would be.
 */
export function checkStackable(base: BaseVersion, directory: string): void {
  const place = base.manifest.layers.find((layer) => "path" in layer);
  if (!place || !("path" in place)) return;
  using below = openDirectory(place.path);
  using top = openDirectory(directory);
  try {
    mountOverlay({ layers: [top, below], source: "veneer:trial", volatile: false })[Symbol.dispose]();
  } catch (cause) {
    const what = `${formatBaseRef(base)} takes no layer above it`;
    const inside = cause instanceof Error && isErrno(cause.cause, "ELOOP") ? cause.cause : undefined;
    if (!inside) throw new VeneerError("NOT_STACKABLE", what, { cause });
    throw new VeneerError("NOT_STACKABLE", what, {
      cause: inside,
      hint: "it is used in place and holds the store: import it without --in-place, or keep the store (--root) on another file system",
    });
  }
}
