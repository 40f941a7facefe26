/** What of a layer goes into the tar of an image, and how: a list for GNU tar, and the markers of whiteouts. */
import { VeneerError } from "../errors.ts";
import { isOpaque, isWhiteout } from "../overlay/marks.ts";
import { walk } from "../overlay/walk.ts";
import { overlayPrefix } from "../overlay/xattrs.ts";
import { escapePath } from "../store/listing.ts";
import { createFile, type Fd, mkdirat, openat, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, S_IFDIR, S_IFSOCK } from "../sys/flags.ts";
import { isType, listxattr, type Stat, setTime } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from "./whiteouts.ts";

/** A path by which another process reaches a directory that this one has open; no character in it is special to tar. */
export function pathForOthers(fd: Fd): string {
  return `/proc/${process.pid}/fd/${fd.number}`;
}

/**
 * Writes the list for `tar --no-recursion -C TREE -T FILE`: sorted, a directory before what is in it, markers
 * before what they stand beside. Whiteouts, 0/0 devices and regular files with `overlay.whiteout` alike,
 * become empty files `.wh.NAME` with the whiteout's time in `markers`, an empty directory that stays open
 * while tar runs. `without`: relative paths that are left out. Returns the number of sockets, which no tar can
 * hold. Throws VeneerError for what an image cannot hold.
 */
export function listLayer(tree: Fd, markers: Fd, file: string, without: readonly string[]): number {
  using out = openat(AT_FDCWD, file, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  const encoder = new TextEncoder();
  const made = new Set([""]);
  let text = "";
  let sockets = 0;
  let from = tree;
  const emit = (place: Fd, path: string) => {
    if (place !== from) text += `-C ${pathForOthers(place)}\n`;
    from = place;
    text += `./${escapePath(path)}\n`;
    if (text.length < 65536) return;
    writeAll(out.number, encoder.encode(text), file);
    text = "";
  };
  const mark = (parent: string, name: string, { mtime }: Stat) => {
    for (let end = parent.indexOf("/"); end >= 0; end = parent.indexOf("/", end + 1)) {
      const path = parent.slice(0, end);
      if (!made.has(path)) mkdirat(markers.number, path, 0o700);
      made.add(path);
    }
    createFile(parent + name, "", { dir: markers.number, mode: 0o644 });
    setTime(parent + name, mtime, markers.number);
    emit(markers, parent + name);
  };
  text += ".\n";
  walk(
    ".",
    ({ path, name, stat, dir }) => {
      if (without.includes(path)) return false;
      const parent = path.slice(0, path.length - name.length);
      const at = `/proc/self/fd/${dir}/${name}`;
      if (name.startsWith(WHITEOUT_PREFIX)) {
        throw new VeneerError("NO_IMAGE", `${quote(`/${path}`)}: images keep such names for whiteouts`, {
          hint: "export to a tar, or remove the file",
        });
      }
      if (isType(stat, S_IFSOCK)) {
        sockets++;
        return false;
      }
      const xattrs = listxattr(at).filter((attribute) => attribute.startsWith(overlayPrefix()));
      if (isWhiteout(stat, at)) {
        mark(parent, WHITEOUT_PREFIX + name, stat);
        return false;
      }
      const foreign = xattrs.find((attribute) => /\.(redirect|metacopy)$/.test(attribute));
      if (foreign !== undefined) {
        throw new VeneerError(
          "NO_IMAGE",
          `${quote(`/${path}`)} has its content in another layer (${foreign})`,
          {
            hint: "export to a tar, which holds the merged tree",
          },
        );
      }
      emit(tree, path);
      if (isType(stat, S_IFDIR) && isOpaque(at)) mark(`${path}/`, OPAQUE_MARKER, stat);
      return true;
    },
    tree.number,
  );
  writeAll(out.number, encoder.encode(text), file);
  return sockets;
}
