/** Copies a single entry, no directory, from one tree to another, by descriptor. */

import { errno, SysError } from "../sys/errno.ts";
import { type Fd, mknodat, openat2, readlink, readSome, rename, symlink, writeAll } from "../sys/fd.ts";
import {
  cloneFile,
  copyFileRange,
  ftruncate,
  lseek,
  SEEK_DATA,
  SEEK_HOLE,
  SEEK_SET,
} from "../sys/files/data.ts";
import { openRegular } from "../sys/files/regular.ts";
import {
  AT_FDCWD,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  RENAME_NOREPLACE,
  RESOLVE_EXACT,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { fstat, isType, lstatMaybe, type Stat } from "../sys/stat.ts";
import { type AttributeOptions, setEntryAttributes, setFileAttributes } from "./entry-attributes.ts";
import { fileXattrs, pathXattrs } from "./read-xattrs.ts";

/** Files that were copied in advance. */
export interface ReadyFiles {
  /** returns the path of a copy of the file with that status, which the caller renames into place */
  take(stat: Stat): string | undefined;
}

export interface EntryOptions extends AttributeOptions {
  /** called for each entry and at least once per {@link CHUNK} bytes; may throw */
  readonly pace?: () => void;
  readonly ready?: ReadyFiles;
}

/** Bytes copied by one system call. */
const CHUNK = 1 << 26;

/**
 * Copies an entry with its attributes; keeps holes. The directory of the copy must exist, the copy must not. `seen` is
 * the status on which the caller decided: an entry of another type is not copied, even if one is there by now. `shown`
 * is the path in messages. Returns the status of the copied entry. Throws SysError: ELOOP or ENOENT when the entry was
 * replaced or removed in the meantime.
 */
export function copyEntry(
  from: Fd,
  path: string,
  to: Fd,
  copy: string,
  options: EntryOptions,
  seen = lstatMaybe(path, from.number),
  shown = copy,
): Stat {
  if (!seen) throw new SysError(errno.ENOENT as number, "copy", path);
  if (isType(seen, S_IFREG)) {
    const ready = options.ready?.take(seen);
    if (ready === undefined) return copyFile(from, path, to, copy, options, shown);
    rename(ready, copy, RENAME_NOREPLACE, AT_FDCWD, to.number);
    return seen;
  }
  const isLink = isType(seen, S_IFLNK);
  if (isLink) {
    const target = readlink(path, from.number);
    if (target === undefined) throw new SysError(errno.ENOENT as number, "readlink", path);
    symlink(target, copy, to.number);
  } else {
    const { rdevMajor, rdevMinor } = seen;
    const device = (rdevMinor & 0xff) | (rdevMajor << 8) | ((rdevMinor & ~0xff) << 12);
    mknodat(to.number, copy, (seen.mode & S_IFMT) | 0o600, device);
  }
  const { mode, uid, gid, mtime } = seen;
  const attributes = { mode: mode & 0o7777, uid, gid, mtime, xattrs: pathXattrs(`${from.path}/${path}`) };
  setEntryAttributes(to.number, copy, `${to.path}/${copy}`, shown, attributes, {
    ...options,
    type: isLink ? "symbolic link" : "other",
  });
  return seen;
}

function copyFile(from: Fd, path: string, to: Fd, copy: string, options: EntryOptions, shown: string): Stat {
  using source = openRegular(from.number, path);
  // an entry of another type has taken its place
  if (!source) throw new SysError(errno.ELOOP as number, "open", path);
  const stat = fstat(source.number);
  using target = openat2(to.number, copy, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, RESOLVE_EXACT, 0o600);
  copyData(source.number, target.number, stat, copy, options.pace);
  const { mode, uid, gid, mtime } = stat;
  const attributes = { mode: mode & 0o7777, uid, gid, mtime, xattrs: fileXattrs(source) };
  setFileAttributes(target.number, shown, attributes, options);
  return stat;
}

/**
 * Copies the data of a file to an empty one: with a reflink where the file system supports it, else extent by extent.
 */
function copyData(from: number, to: number, { size, blocks }: Stat, path: string, pace?: () => void): void {
  if (size === 0 || cloneFile(from, to)) return;
  const copy = (bytes: number) => {
    for (let left = bytes; left > 0; ) {
      pace?.();
      left -= copySome(from, to, left, path);
    }
  };
  if (blocks * 512 >= size) {
    copy(size);
    return;
  }
  for (let at = 0; at < size; ) {
    const data = lseek(from, at, SEEK_DATA);
    if (data === -(errno.ENXIO as number)) break;
    const start = check(data, "lseek", path);
    at = check(lseek(from, start, SEEK_HOLE), "lseek", path);
    check(lseek(from, start, SEEK_SET), "lseek", path);
    check(lseek(to, start, SEEK_SET), "lseek", path);
    copy(at - start);
  }
  ftruncate(to, size, path);
}

/** Returns the number of bytes copied; `most` at the end of a file that became shorter in the meantime. */
function copySome(from: number, to: number, most: number, path: string): number {
  const copied = copyFileRange(from, to, Math.min(most, CHUNK));
  if (copied > 0) return copied;
  // the kernel does not copy between these file systems
  if (copied !== 0 && ![errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP].includes(-copied)) {
    check(copied, "copy_file_range", path);
  }
  const buffer = new Uint8Array(Math.min(most, 1 << 20));
  const count = readSome(from, buffer, path);
  writeAll(to, buffer.subarray(0, count), path);
  return count === 0 ? most : count;
}
