/** Whether two entries of a file system are the same but for times. Follows no symbolic link. */

import { openat, readlink, readSome } from "../sys/fd.ts";
import { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../sys/flags.ts";
import type { Stat } from "../sys/stat.ts";
import { xattrs } from "./merged-lookup.ts";
import type { XattrMap } from "./upper-entries.ts";

/** An entry by the directory that is open and its path below. */
export interface Located {
  readonly dir: number;
  readonly path: string;
  readonly stat: Stat;
}

/** Type, mode, owner, extended attributes; of files the content too, of directories not. */
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

function sameContent(a: Located, b: Located): boolean {
  using left = openat(a.dir, a.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  using right = openat(b.dir, b.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const [one, two] = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
  for (;;) {
    const count = readFully(left.number, one, a.path);
    if (count !== readFully(right.number, two, b.path)) return false;
    if (!equalBytes(one.subarray(0, count), two.subarray(0, count))) return false;
    if (count < CHUNK) return true;
  }
}

/** Fills the buffer unless the file ends. */
function readFully(fd: number, buffer: Uint8Array, name: string): number {
  let length = 0;
  while (length < buffer.length) {
    const count = readSome(fd, buffer.subarray(length), name);
    if (count === 0) break;
    length += count;
  }
  return length;
}
