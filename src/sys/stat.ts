/** Status of files (statx(2)), directory entries (getdents64(2)) and extended attributes (xattr(7)). */
import { decodeName } from "../text/file-names.ts";
import { errno } from "./errno.ts";
import { openat } from "./fd.ts";
import { AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFMT } from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

export interface Stat {
  /** type and permissions, as st_mode */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly ino: bigint;
  /** device number of the file system that holds the file, `major:minor` */
  readonly dev: string;
  /** the device of a device node */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** bytes */
  readonly size: number;
  /** allocated, in units of 512 bytes */
  readonly blocks: number;
  readonly mtime: { readonly seconds: bigint; readonly nanoseconds: number };
  readonly ctime: { readonly seconds: bigint; readonly nanoseconds: number };
  /** statx(2) STATX_MNT_ID (Linux 5.8), as in mountinfo */
  readonly mountId: bigint;
  /** whether it is the root of a mount (STATX_ATTR_MOUNT_ROOT, Linux 5.8) */
  readonly isMountRoot: boolean;
}

const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;
const STATX_ATTR_MOUNT_ROOT = 0x2000;

/** Decodes struct statx lazily, because callers need few of its fields. */
class Statx implements Stat {
  readonly #view: DataView;

  constructor(buffer: ArrayBuffer) {
    this.#view = new DataView(buffer);
  }

  get isMountRoot(): boolean {
    return (this.#view.getUint32(8, true) & STATX_ATTR_MOUNT_ROOT) !== 0;
  }
  get nlink(): number {
    return this.#view.getUint32(16, true);
  }
  get uid(): number {
    return this.#view.getUint32(20, true);
  }
  get gid(): number {
    return this.#view.getUint32(24, true);
  }
  get mode(): number {
    return this.#view.getUint16(28, true);
  }
  get ino(): bigint {
    return this.#view.getBigUint64(32, true);
  }
  get size(): number {
    return Number(this.#view.getBigUint64(40, true));
  }
  get blocks(): number {
    return Number(this.#view.getBigUint64(48, true));
  }
  get ctime(): Stat["ctime"] {
    return { seconds: this.#view.getBigInt64(96, true), nanoseconds: this.#view.getUint32(104, true) };
  }
  get mtime(): Stat["mtime"] {
    return { seconds: this.#view.getBigInt64(112, true), nanoseconds: this.#view.getUint32(120, true) };
  }
  get rdevMajor(): number {
    return this.#view.getUint32(128, true);
  }
  get rdevMinor(): number {
    return this.#view.getUint32(132, true);
  }
  get dev(): string {
    return `${this.#view.getUint32(136, true)}:${this.#view.getUint32(140, true)}`;
  }
  get mountId(): bigint {
    return this.#view.getBigUint64(144, true);
  }
}

function statx(dir: number, path: string, flags: number): Stat | number {
  const buffer = new Uint8Array(STATX_BYTES);
  const result = syscall(SYS.statx, dir, cstring(path), flags, STATX_BASIC_STATS | STATX_MNT_ID, buffer);
  return result < 0 ? result : new Statx(buffer.buffer);
}

/** size of struct statx */
export const STATX_BYTES = 256;
const AT_STATX_DONT_SYNC = 0x4000;

/** Like {@link statMaybe}, but returns the raw struct statx and does not ask a remote server (AT_STATX_DONT_SYNC). */
export function quickStat(path: string): Uint8Array<ArrayBuffer> | undefined {
  const buffer = new Uint8Array(STATX_BYTES);
  const flags = AT_STATX_DONT_SYNC;
  const result = syscall(SYS.statx, -100, cstring(path), flags, STATX_BASIC_STATS | STATX_MNT_ID, buffer);
  return result < 0 ? undefined : buffer;
}

/** Decodes a struct statx; `bytes` must be STATX_BYTES long. */
export function decodeStat(bytes: Uint8Array<ArrayBuffer>): Stat {
  return new Statx(bytes.slice().buffer);
}

/** The status of an entry, of a symbolic link itself; undefined where it does not exist (ENOENT, ENOTDIR). */
export function lstatMaybe(path: string, dir = -100): Stat | undefined {
  const result = statx(dir, path, AT_SYMLINK_NOFOLLOW);
  if (typeof result !== "number") return result;
  if (result === -(errno.ENOENT as number) || result === -(errno.ENOTDIR as number)) return undefined;
  check(result, "statx", path);
  return undefined;
}

/** The status of a file, with symbolic links followed. */
export function stat(path: string, dir = -100): Stat {
  const result = statx(dir, path, 0);
  if (typeof result !== "number") return result;
  check(result, "statx", path);
  throw new Error("unreachable");
}

/** Like {@link stat}, but undefined where the file does not exist (ENOENT, ENOTDIR). */
export function statMaybe(path: string, dir = -100): Stat | undefined {
  const result = statx(dir, path, 0);
  if (typeof result !== "number") return result;
  if (result === -(errno.ENOENT as number) || result === -(errno.ENOTDIR as number)) return undefined;
  check(result, "statx", path);
  return undefined;
}

/** The status of an open file. */
export function fstat(fd: number): Stat {
  const result = statx(fd, "", 0x1000);
  if (typeof result !== "number") return result;
  check(result, "statx", `descriptor ${fd}`);
  throw new Error("unreachable");
}

/** faccessat(2) X_OK: whether this process may execute the file. */
export function isExecutable(path: string): boolean {
  return syscall(SYS.faccessat, -100, cstring(path), 1) === 0;
}

export function isType(stat: Pick<Stat, "mode"> | undefined, type: number): boolean {
  return stat !== undefined && (stat.mode & S_IFMT) === type;
}

/** The names in a directory, without `.` and `..`, unsorted, decoded by {@link decodeName}. */
export function list(path: string, dir = -100): string[] {
  using fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  return listFd(fd.number, path);
}

let entries: Uint8Array<ArrayBuffer> | undefined;

/**
 * Like {@link list}, for an open directory, from its current position. A removed directory is empty. Stops reading when
 * it has at least `limit` names, so that the cost is bounded.
 */
export function listFd(fd: number, name: string, limit = Number.POSITIVE_INFINITY): string[] {
  const names: string[] = [];
  entries ??= new Uint8Array(8000);
  const buffer = entries;
  const view = new DataView(buffer.buffer);
  for (;;) {
    const end = syscall(SYS.getdents64, fd, buffer, buffer.length);
    if (end === 0 || end === -(errno.ENOENT as number)) return names;
    check(end, "getdents64", name);
    for (let at = 0; at < end; at += view.getUint16(at + 16, true)) {
      const stop = buffer.indexOf(0, at + 19);
      const entry = decodeName(buffer.subarray(at + 19, stop));
      if (entry !== "." && entry !== "..") names.push(entry);
    }
    if (names.length >= limit) return names;
  }
}

/**
 * The value of an extended attribute; undefined where it is not set or the file system has no such attributes. Follows
 * symbolic links, so that it works with a path in /proc/self/fd.
 */
export function getxattr(path: string, name: string): Uint8Array | undefined {
  return xattr(SYS.getxattr, path, name);
}

/** Like {@link getxattr}, but for a symbolic link itself. */
export function lgetxattr(path: string, name: string): Uint8Array | undefined {
  return xattr(SYS.lgetxattr, path, name);
}

function xattr(call: number, path: string, name: string): Uint8Array | undefined {
  let buffer = new Uint8Array(256);
  for (;;) {
    const result = syscall(call, cstring(path), cstring(name), buffer, buffer.length);
    if (result === -(errno.ERANGE as number)) {
      buffer = new Uint8Array(65536);
      continue;
    }
    if (result === -(errno.ENODATA as number) || result === -(errno.EOPNOTSUPP as number)) return undefined;
    // others' files in a base that root shares: the user's own overlay cannot read the attribute there either
    if (result === -(errno.EACCES as number) && name.startsWith("user.")) return undefined;
    return buffer.subarray(0, check(result, `getxattr ${name}`, path));
  }
}

/** utimensat(2) for an entry, for a symbolic link itself: sets mtime, and atime to the same. */
export function setTime(path: string, mtime: Stat["mtime"], dir = -100): void {
  const { seconds, nanoseconds } = mtime;
  const times = new BigInt64Array([seconds, BigInt(nanoseconds), seconds, BigInt(nanoseconds)]);
  check(syscall(SYS.utimensat, dir, cstring(path), times, AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

/** lsetxattr(2) */
export function setxattr(path: string, name: string, value: Uint8Array): void {
  check(
    syscall(SYS.lsetxattr, cstring(path), cstring(name), value, value.length, 0),
    `setxattr ${name}`,
    path,
  );
}

/** lremovexattr(2) */
export function lremovexattr(path: string, name: string): void {
  check(syscall(SYS.lremovexattr, cstring(path), cstring(name)), `removexattr ${name}`, path);
}

/** llistxattr(2): the names of all extended attributes that the caller may see. */
export function listxattr(path: string): string[] {
  let buffer = new Uint8Array(512);
  let result = syscall(SYS.llistxattr, cstring(path), buffer, buffer.length);
  if (result === -(errno.ERANGE as number)) {
    buffer = new Uint8Array(65536);
    result = syscall(SYS.llistxattr, cstring(path), buffer, buffer.length);
  }
  if (result === 0 || result === -(errno.EOPNOTSUPP as number)) return [];
  const text = decodeName(buffer.subarray(0, check(result, "listxattr", path)));
  return text.split("\0").filter((name) => name !== "");
}
