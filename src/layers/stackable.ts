/** Whether the kernel takes a layer of the store above a base in place: asked by a mount that is thrown away. */
import { VeneerError } from "../errors.ts";
import { mountOverlay } from "../overlay/mount.ts";
import type { BaseVersion } from "../store/bases.ts";
import { isErrno } from "../sys/errno.ts";
import { openDirectory } from "../sys/fd.ts";
import { formatBaseRef } from "../text/names.ts";

/**
 * Throws before anything is made that nothing could be started on: overlayfs refuses layers that lie inside each
 * other, which a base in place and the store do when the store is below the base's directory. `directory` is an
 * empty directory where the layer would be.
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
