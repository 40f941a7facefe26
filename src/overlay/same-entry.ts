/** Whether two entries are equal except for their times. Follows no symbolic link. */

import { errno } from "../sys/errno.ts";
import { readlink, readSome } from "../sys/fd.ts";
import { lseek, SEEK_DATA, SEEK_SET } from "../sys/files/data.ts";
import { openRegular } from "../sys/files/regular.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import type { Stat } from "../sys/stat.ts";
import { xattrs } from "./merged-lookup.ts";
import type { XattrMap } from "./upper-entries.ts";

/** An entry: an open directory and a path relative to it. */
export interface Located {
  readonly dir: number;
  readonly path: string;
  readonly stat: Stat;
}

/** Compares type, mode, owner and extended attributes, and the contents of files, but not those of directories. */
export function sameEntry(a: Located, b: Located): boolean {
  if (a.stat.dev === b.stat.dev && a.stat.ino === b.stat.ino) return true;
  const type = a.stat.mode & S_IFMT;
  if (a.stat.mode !== b.stat.mode || a.stat.uid !== b.stat.uid || a.stat.gid !== b.stat.gid) return false;
  if (a.stat.rdevMajor !== b.stat.rdevMajor || a.stat.rdevMinor !== b.stat.rdevMinor) return false;
  if (type !== S_IFDIR && a.stat.size !== b.stat.size) return false;
  if (type === S_IFLNK && readlink(a.path, a.dir) !== readlink(b.path, b.dir)) return false;
  if (!sameXattrs(xattrs(procPath(a)), xattrs(procPath(b)))) return false;
  return type !== S_IFREG || sameContent(a, b);
}

export function sameXattrs(a: XattrMap, b: XattrMap): boolean {
  if (a.size !== b.size) return false;
  return [...a].every(([name, value]) => {
    const other = b.get(name);
    return other !== undefined && equalBytes(value, other);
  });
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}

function procPath({ dir, path }: Located): string {
  return `/proc/self/fd/${dir}/${path}`;
}

const CHUNK = 1 << 18;

/** Reused, because a tree has many files, most of them small. */
let buffers: readonly [Uint8Array, Uint8Array] | undefined;

/** Whether the first `count` bytes of two buffers are equal. Compares four bytes at a time. */
function sameBeginning(a: Uint8Array, b: Uint8Array, count: number): boolean {
  const words = count >> 2;
  const [one, two] = [a, b].map(({ buffer, byteOffset }) => new Uint32Array(buffer, byteOffset, words));
  for (let index = 0; index < words; index++) if (one?.[index] !== two?.[index]) return false;
  return equalBytes(a.subarray(words * 4, count), b.subarray(words * 4, count));
}

function sameContent(a: Located, b: Located): boolean {
  using left = openRegular(a.dir, a.path);
  using right = openRegular(b.dir, b.path);
  // replaced in the meantime
  if (!left || !right) return false;
  buffers ??= [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
  const [one, two] = buffers;
  const sparse = isSparse(a) && isSparse(b);
  for (let at = 0; ; at += CHUNK) {
    if (sparse) {
      at = Math.min(nextData(left.number, at, a.path), nextData(right.number, at, b.path));
      if (at === Number.POSITIVE_INFINITY) return true;
      for (const fd of [left, right]) check(lseek(fd.number, at, SEEK_SET), "lseek", a.path);
    }
    const count = readFully(left.number, one, a.path);
    if (count !== readFully(right.number, two, b.path)) return false;
    if (!sameBeginning(one, two, count)) return false;
    if (count < CHUNK) return true;
  }
}

const isSparse = ({ stat }: Located) => stat.blocks * 512 < stat.size;

/** Where the next data begins at or after `at`. Holes are not read, because a sparse file may have any size. */
function nextData(fd: number, at: number, path: string): number {
  const found = lseek(fd, at, SEEK_DATA);
  return found === -(errno.ENXIO as number) ? Number.POSITIVE_INFINITY : check(found, "lseek", path);
}

/** Fills the buffer, unless the file ends before. Returns the number of bytes. */
function readFully(fd: number, buffer: Uint8Array, name: string): number {
  let length = 0;
  while (length < buffer.length) {
    const count = readSome(fd, buffer.subarray(length), name);
    if (count === 0) break;
    length += count;
  }
  return length;
}
