/** Reads all extended attributes of a file, including those of overlayfs. */

import { errno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { fgetxattr, flistxattr, lgetxattrInto, llistxattrInto } from "../sys/files/attributes.ts";
import { check } from "../sys/libc.ts";
import { decodeName } from "../text/file-names.ts";

/** bytes: XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h */
const MOST = 65536;

const NONE: ReadonlyMap<string, Uint8Array> = new Map();

/** The attributes of a file that is open for reading. */
export function fileXattrs(fd: Fd): ReadonlyMap<string, Uint8Array> {
  return read(
    (buffer) => flistxattr(fd.number, buffer),
    (name, buffer) => fgetxattr(fd.number, name, buffer),
  );
}

/** The attributes of the entry at a path below /proc/self/fd; for a symbolic link, those of the link itself. */
export function pathXattrs(path: string): ReadonlyMap<string, Uint8Array> {
  return read(
    (buffer) => llistxattrInto(path, buffer),
    (name, buffer) => lgetxattrInto(path, name, buffer),
  );
}

function read(
  list: (buffer: Uint8Array) => number,
  get: (name: string, buffer: Uint8Array) => number,
): ReadonlyMap<string, Uint8Array> {
  const names = whole(list);
  if (!names || names.length === 0) return NONE;
  const found = new Map<string, Uint8Array>();
  for (let at = 0; at < names.length; ) {
    const end = names.indexOf(0, at);
    const name = decodeName(names.subarray(at, end));
    const value = whole((buffer) => get(name, buffer));
    if (value) found.set(name, value);
    at = end + 1;
  }
  return found;
}

/** Returns the whole value; undefined when it does not exist (any more) or this user may not read it. */
function whole(call: (buffer: Uint8Array) => number): Uint8Array | undefined {
  let buffer = new Uint8Array(256);
  let length = call(buffer);
  if (length === -(errno.ERANGE as number)) {
    buffer = new Uint8Array(MOST);
    length = call(buffer);
  }
  const absent = [errno.ENODATA, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM];
  if (absent.includes(-length)) return undefined;
  return buffer.subarray(0, check(length, "getxattr"));
}
