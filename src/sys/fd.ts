/**
 * Files by descriptor: openat(2), openat2(2), read(2), write(2) and related calls, without node:fs.
 * Longer than 250 lines: one thin function per call. Functions throw SysError when the call fails, unless they say otherwise.
 */
import { decodeName } from "../text/file-names.ts";
import { errno, ifStillThere, SysError } from "./errno.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_EXACT,
  RESOLVE_NO_SYMLINKS,
} from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

/** A descriptor that is closed when its `using` scope ends. Disposing it twice is harmless. */
export class Fd implements Disposable {
  #number: number;

  constructor(number: number) {
    this.#number = number;
  }

  get number(): number {
    if (this.#number < 0) throw new SysError(errno.EBADF as number, "use of a closed descriptor");
    return this.#number;
  }

  /** A path to the open file through proc(5); valid as long as it is open and /proc shows this process. */
  get path(): string {
    return `/proc/self/fd/${this.number}`;
  }

  [Symbol.dispose](): void {
    if (this.#number >= 0) syscall(SYS.close, this.#number);
    this.#number = -1;
  }
}

/** openat(2), always with O_CLOEXEC. `mode` is used only with O_CREAT. */
export function openat(dir: number, path: string, flags: number, mode = 0): Fd {
  return new Fd(check(syscall(SYS.openat, dir, cstring(path), flags | O_CLOEXEC, mode), "open", path));
}

/** Like {@link openat}, but undefined where the file does not exist (ENOENT). */
export function openatMaybe(dir: number, path: string, flags: number): Fd | undefined {
  const result = syscall(SYS.openat, dir, cstring(path), flags | O_CLOEXEC, 0);
  if (result === -(errno.ENOENT as number)) return undefined;
  return new Fd(check(result, "open", path));
}

/** openat2(2) with RESOLVE_ flags (Linux 5.6), always with O_CLOEXEC. Retries on EAGAIN, caused by racing renames. */
export function openat2(dir: number, path: string, flags: number, resolve: number, mode = 0): Fd {
  const how = new BigUint64Array([BigInt(flags | O_CLOEXEC), BigInt(mode), BigInt(resolve)]);
  let result = -1;
  for (let attempt = 0; attempt < 64; attempt++) {
    result = syscall(SYS.openat2, dir, cstring(path), how, how.byteLength);
    if (result !== -(errno.EAGAIN as number)) break;
  }
  return new Fd(check(result, "openat2", path));
}

/** An O_PATH descriptor of a directory. Follows symbolic links. */
export function openDirectory(path: string, dir = AT_FDCWD): Fd {
  return openat(dir, path, O_PATH | O_DIRECTORY);
}

/** Like {@link openDirectory}, for a canonical path: throws ELOOP where anything in it is a symbolic link by now. */
export function openCanonical(path: string): Fd {
  return openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
}

/** Like {@link openCanonical}; undefined where there is no directory, or where a link is by now. */
export function openCanonicalMaybe(path: string): Fd | undefined {
  return ifStillThere(() => openCanonical(path));
}

/** Opens the directory at `path` for reading; undefined where there is nothing or no directory, but perhaps a link. */
export function openDirectoryMaybe(path: string, dir = AT_FDCWD): Fd | undefined {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const result = syscall(SYS.openat, dir, cstring(path), flags, 0);
  if ([errno.ENOENT, errno.ENOTDIR, errno.ELOOP].includes(-result)) return undefined;
  return new Fd(check(result, "open", path));
}

/** Opens a directory below `dir`, without following links or leaving `dir`; undefined where there is no directory. */
export function openBelowMaybe(dir: number, path: string, flags = O_PATH): Fd | undefined {
  return ifStillThere(() => openat2(dir, path, flags | O_DIRECTORY, RESOLVE_EXACT));
}

/** The path of a file with all symbolic links resolved; undefined where there is no file. */
export function realPath(path: string): string | undefined {
  using fd = openatMaybe(AT_FDCWD, path, O_PATH);
  return fd && readlink(fd.path);
}

/** read(2) until the end of the file. Throws EFBIG when there are more than `limit` bytes. */
export function readAll(fd: number, limit: number, name: string): Uint8Array {
  // start small: most documents are, and each page of a new buffer costs time
  let buffer = new Uint8Array(4000);
  let length = 0;
  for (;;) {
    if (length === buffer.length) {
      if (length > limit) throw new SysError(errno.EFBIG as number, `read (limit ${limit} bytes)`, name);
      const larger = new Uint8Array(Math.min(length * 4, limit + 1));
      larger.set(buffer);
      buffer = larger;
    }
    const count = syscall(SYS.read, fd, buffer.subarray(length), buffer.length - length);
    if (count === -(errno.EINTR as number)) continue;
    if (check(count, "read", name) === 0) break;
    length += count;
  }
  if (length > limit) throw new SysError(errno.EFBIG as number, `read (limit ${limit} bytes)`, name);
  return buffer.subarray(0, length);
}

/** One read(2), restarted after signals. Returns the number of bytes, 0 at the end of the file. */
export function readSome(fd: number, buffer: Uint8Array, name: string): number {
  for (;;) {
    const count = syscall(SYS.read, fd, buffer, buffer.length);
    if (count !== -(errno.EINTR as number)) return check(count, "read", name);
  }
}

/** Default size limit in bytes for documents that we read; larger ones are refused. */
export const DOCUMENT_LIMIT = 16 * 1024 * 1024;

/** A whole file as UTF-8 text; undefined where it does not exist. Throws EFBIG above `limit` bytes. */
export function readText(path: string, dir = AT_FDCWD, limit = DOCUMENT_LIMIT): string | undefined {
  using fd = openatMaybe(dir, path, O_RDONLY);
  return fd && new TextDecoder().decode(readAll(fd.number, limit, path));
}

/** write(2) until all bytes are written. */
export function writeAll(fd: number, bytes: Uint8Array, name: string): void {
  for (let offset = 0; offset < bytes.length; ) {
    const count = syscall(SYS.write, fd, bytes.subarray(offset), bytes.length - offset);
    if (count === -(errno.EINTR as number)) continue;
    offset += check(count, "write", name);
  }
}

/** Creates and writes a file that must not exist yet. Not atomic: use {@link replaceFile} to publish one. */
export function createFile(
  path: string,
  text: string,
  options: { mode?: number; sync?: boolean; dir?: number } = {},
): void {
  const dir = options.dir ?? AT_FDCWD;
  using fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, options.mode ?? 0o600);
  writeAll(fd.number, new TextEncoder().encode(text), path);
  if (options.sync) fsync(fd.number, path);
}

/** Writes to an existing file, such as a control file of the kernel. */
export function writeFile(path: string, text: string): void {
  using fd = openat(AT_FDCWD, path, O_WRONLY);
  writeAll(fd.number, new TextEncoder().encode(text), path);
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/**
 * Replaces a file atomically: writes a temporary file beside it, then renames that over `path`. `like` gives the owner
 * and mode of the new file. With `sync`, contents and name are durable on return.
 */
export function replaceFile(
  path: string,
  text: string,
  options: { mode?: number; sync?: boolean; like?: Owner } = {},
): void {
  const temporary = `${path}.${uniqueSuffix()}`;
  try {
    createFile(temporary, text, options);
    if (options.like) {
      const { uid, gid, mode } = options.like;
      fchownat(AT_FDCWD, temporary, uid, gid, AT_SYMLINK_NOFOLLOW);
      fchmodat(AT_FDCWD, temporary, mode & 0o7777);
    }
    rename(temporary, path);
  } catch (error) {
    unlinkQuietly(temporary);
    throw error;
  }
  if (options.sync) syncDirectory(path.slice(0, path.lastIndexOf("/")) || "/");
}

/** 12 random hexadecimal digits from getrandom(2), because Bun's crypto takes a millisecond to load. */
export function uniqueSuffix(): string {
  const bytes = new Uint8Array(6);
  check(syscall(SYS.getrandom, bytes, bytes.length, 0), "getrandom");
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fsync(fd: number, name: string): void {
  check(syscall(SYS.fsync, fd), "fsync", name);
}

/** syncfs(2) on the file system of `fd`: every earlier write to it is durable on return. */
export function syncfs(fd: number, name: string): void {
  check(syscall(SYS.syncfs, fd), "syncfs", name);
}

/** Makes the names in a directory durable (fsync(2) of the directory). */
export function syncDirectory(path: string): void {
  using fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  fsync(fd.number, path);
}

export function mkdirat(dir: number, path: string, mode: number): void {
  check(syscall(SYS.mkdirat, dir, cstring(path), mode), "mkdir", path);
}

/** mkdir(2) that accepts an existing entry; returns whether it created the directory. */
export function mkdirMaybe(path: string, mode: number, dir = AT_FDCWD): boolean {
  const result = syscall(SYS.mkdirat, dir, cstring(path), mode);
  if (result === -(errno.EEXIST as number)) return false;
  check(result, "mkdir", path);
  return true;
}

/** Like `mkdir -p`; `mode`, less the umask, applies to each directory that it creates. */
export function mkdirs(path: string, mode: number): void {
  const result = syscall(SYS.mkdirat, AT_FDCWD, cstring(path), mode);
  if (result === -(errno.ENOENT as number)) {
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (parent === "") throw new SysError(errno.ENOENT as number, "mkdir", path);
    mkdirs(parent, mode);
    mkdirMaybe(path, mode);
  } else if (result !== -(errno.EEXIST as number)) check(result, "mkdir", path);
}

export function mknodat(dir: number, path: string, mode: number, device = 0): void {
  check(syscall(SYS.mknodat, dir, cstring(path), mode, device), "mknod", path);
}

export function fchownat(dir: number, path: string, uid: number, gid: number, flags: number): void {
  check(syscall(SYS.fchownat, dir, cstring(path), uid, gid, flags), "chown", path);
}

/** fchmodat(2). Follows symbolic links, so only for entries that we just created in a directory of our own. */
export function fchmodat(dir: number, path: string, mode: number): void {
  check(syscall(SYS.fchmodat, dir, cstring(path), mode), "chmod", path);
}

export function rename(from: string, to: string, flags = 0, fromDir = AT_FDCWD, toDir = AT_FDCWD): void {
  check(
    syscall(SYS.renameat2, fromDir, cstring(from), toDir, cstring(to), flags),
    "rename",
    `${from} -> ${to}`,
  );
}

/** linkat(2), which links a symbolic link itself; returns 0 or -errno. */
export function linkat(fromDir: number, from: string, toDir: number, to: string): number {
  return syscall(SYS.linkat, fromDir, cstring(from), toDir, cstring(to), 0);
}

/** unlinkat(2); returns 0 or -errno. */
export function tryUnlink(path: string, dir: number): number {
  return syscall(SYS.unlinkat, dir, cstring(path), 0);
}

export function unlink(path: string, dir = AT_FDCWD): void {
  check(syscall(SYS.unlinkat, dir, cstring(path), 0), "unlink", path);
}

export function rmdir(path: string, dir = AT_FDCWD): void {
  check(syscall(SYS.unlinkat, dir, cstring(path), AT_REMOVEDIR), "rmdir", path);
}

/** unlink(2) for cleanup: ignores errors. */
export function unlinkQuietly(path: string, dir = AT_FDCWD): void {
  syscall(SYS.unlinkat, dir, cstring(path), 0);
}

/** rmdir(2) for cleanup: ignores errors. */
export function rmdirQuietly(path: string, dir = AT_FDCWD): void {
  syscall(SYS.unlinkat, dir, cstring(path), AT_REMOVEDIR);
}

export function symlink(target: string, path: string, dir = AT_FDCWD): void {
  check(syscall(SYS.symlinkat, cstring(target), dir, cstring(path)), "symlink", path);
}

/** readlinkat(2); undefined when the entry is missing or is not a symbolic link. */
export function readlink(path: string, dir = AT_FDCWD): string | undefined {
  const buffer = new Uint8Array(4096);
  const result = syscall(SYS.readlinkat, dir, cstring(path), buffer, buffer.length);
  if (result === -(errno.EINVAL as number) || result === -(errno.ENOENT as number)) return undefined;
  return decodeName(buffer.subarray(0, check(result, "readlink", path)));
}

/**
 * flock(2). Returns false when LOCK_NB is given and another descriptor holds the lock. The kernel releases the lock
 * with the descriptor, so a killed process leaves no lock behind.
 */
export function flock(fd: number, operation: number, name: string): boolean {
  for (;;) {
    const result = syscall(SYS.flock, fd, operation);
    if (result === -(errno.EINTR as number)) continue;
    if (result === -(errno.EAGAIN as number)) return false;
    check(result, "flock", name);
    return true;
  }
}
