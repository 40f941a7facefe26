/**
 * Converts whiteouts and opaque directories of overlayfs to markers (layer.md of the image specification, "Whiteouts").
 */
import { VeneerError } from "../errors.ts";
import { overlayXattr } from "../overlay/xattrs.ts";
import { S_IFCHR, S_IFDIR, S_IFREG } from "../sys/flags.ts";
import { isType } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import type { Marker, PackedEntry } from "../trees/pack-tree.ts";
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from "./markers.ts";

/**
 * Turns a whiteout, whether a 0/0 device or a regular file with `overlay.whiteout`, into `.wh.NAME` with the time of
 * the whiteout, and adds `.wh..wh..opq` to an opaque directory. Throws NO_IMAGE for entries that an image cannot hold.
 */
export function toMarkers(entry: PackedEntry): { instead?: Marker; inside?: Marker } | undefined {
  const { path, name, stat, xattrs } = entry;
  if (name.startsWith(WHITEOUT_PREFIX)) {
    throw new VeneerError("NO_IMAGE", `${quote(`/${path}`)}: images keep such names for whiteouts`, {
      hint: "export to a tar, or remove the file",
    });
  }
  if (isWhiteout(entry)) {
    const parent = path.slice(0, path.length - name.length);
    return { instead: { name: `${parent}${WHITEOUT_PREFIX}${name}`, mtime: stat.mtime } };
  }
  const foreign = [...xattrs.keys()].find((key) =>
    /^(trusted|user)\.overlay\.(redirect|metacopy)$/.test(key),
  );
  if (foreign !== undefined) {
    throw new VeneerError("NO_IMAGE", `${quote(`/${path}`)} has its content in another layer (${foreign})`, {
      hint: "export to a tar, which holds the merged tree",
    });
  }
  const isOpaque = isType(stat, S_IFDIR) && path !== "." && xattrs.get(overlayXattr("opaque"))?.[0] === 0x79;
  return isOpaque ? { inside: { name: `${path}/${OPAQUE_MARKER}`, mtime: stat.mtime } } : undefined;
}

/** Recognizes both forms of whiteouts (overlayfs.rst, "Whiteouts and opaque directories"). */
function isWhiteout({ stat, xattrs }: PackedEntry): boolean {
  if (isType(stat, S_IFCHR)) return stat.rdevMajor === 0 && stat.rdevMinor === 0;
  return isType(stat, S_IFREG) && stat.size === 0 && xattrs.has(overlayXattr("whiteout"));
}
