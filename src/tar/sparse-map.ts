/** Writes the map of a sparse file in GNU's format 1.0 ("Storing Sparse Files" in the manual of GNU tar). */

import { errno } from "../sys/errno.ts";
import { lseek, SEEK_DATA, SEEK_HOLE } from "../sys/files/data.ts";
import { check } from "../sys/libc.ts";
import { BLOCK } from "./header.ts";
import type { Extent } from "./sparse.ts";
import { paddingOf } from "./write-entry.ts";

/** Bytes: Go's archive/tar, which engines use, accepts maps up to 1 MiB. */
const MOST_BYTES = 1_000_000;

/** Returns the extents of data in an open file of `size` bytes; undefined when it has no holes. Throws SysError. */
export function extentsOf(fd: number, size: number, path: string): Extent[] | undefined {
  const extents: Extent[] = [];
  for (let at = 0; at < size; ) {
    const data = lseek(fd, at, SEEK_DATA);
    if (data === -(errno.ENXIO as number)) break;
    const offset = check(data, "lseek", path);
    if (offset >= size) break;
    at = Math.min(check(lseek(fd, offset, SEEK_HOLE), "lseek", path), size);
    extents.push({ offset, length: at - offset });
  }
  return extents[0]?.length === size && size > 0 ? undefined : extents;
}

/** Encodes the map, padded to whole blocks, and returns it with its extents. Merges small holes if it gets too long. */
export function encodeMap(extents: readonly Extent[], size: number): { map: Uint8Array; extents: Extent[] } {
  for (let gap = 0; ; gap = Math.max(gap * 2, 4096)) {
    const joined = join(extents, gap);
    // an empty extent marks the end of a file that ends with a hole
    const last = joined.at(-1);
    const all =
      last && last.offset + last.length === size ? joined : [...joined, { offset: size, length: 0 }];
    const lines = [all.length, ...all.flatMap(({ offset, length }) => [offset, length])].join("\n");
    if (lines.length >= MOST_BYTES) continue;
    const map = new Uint8Array(lines.length + 1 + paddingOf(lines.length + 1));
    map.set(new TextEncoder().encode(`${lines}\n`));
    if (map.length % BLOCK !== 0) throw new Error("unreachable: a map of part of a block");
    return { map, extents: all };
  }
}

/** Joins extents with holes of less than `gap` bytes between them. */
function join(extents: readonly Extent[], gap: number): Extent[] {
  const joined: { offset: number; length: number }[] = [];
  for (const { offset, length } of extents) {
    const last = joined.at(-1);
    if (last && offset - last.offset - last.length < gap) last.length = offset + length - last.offset;
    else joined.push({ offset, length });
  }
  return joined;
}
