/** Writes the data of a sparse file. */

import { writeAll } from "../sys/fd.ts";
import { ftruncate, lseek, SEEK_SET } from "../sys/files/data.ts";
import { check } from "../sys/libc.ts";
import type { TarEntry, TarReader } from "../tar/reader.ts";
/** Writes the extents of an entry at their offsets and keeps its holes. */
export async function writeExtents(fd: number, entry: TarEntry, reader: TarReader): Promise<void> {
  const extents = entry.extents ?? [];
  let index = 0;
  let done = 0;
  const seek = (offset: number) => check(lseek(fd, offset, SEEK_SET), "lseek", entry.name);
  await reader.pass((piece) => {
    for (let at = 0; at < piece.length; ) {
      while (extents[index]?.length === done) {
        index++;
        done = 0;
      }
      const extent = extents[index] as { offset: number; length: number };
      if (done === 0) seek(extent.offset);
      const count = Math.min(extent.length - done, piece.length - at);
      writeAll(fd, piece.subarray(at, at + count), entry.name);
      done += count;
      at += count;
    }
  });
  ftruncate(fd, entry.size, entry.name);
}
