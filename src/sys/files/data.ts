/** Data of open files: lseek(2), ftruncate(2), copy_file_range(2), FICLONE. Most return a number or -errno. */
import { Fd } from "../fd.ts";
import { check, cstring, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

/** lseek(2) */
export const SEEK_SET = 0;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

const MFD_CLOEXEC = 1;
/** fcntl(2) */
const F_DUPFD = 0;
const F_DUPFD_CLOEXEC = 1030;

/** linux/fs.h: lets both files share extents, where the file system can */
const FICLONE = 0x40049409;

/** lseek(2): the new position in bytes, or -errno. */
export function lseek(fd: number, offset: number, whence: number): number {
  return syscall(SYS.lseek, fd, offset, whence);
}

export function ftruncate(fd: number, size: number, name: string): void {
  check(syscall(SYS.ftruncate, fd, size), "ftruncate", name);
}

/** copy_file_range(2) between the current positions: the number of bytes copied, or -errno. */
export function copyFileRange(from: number, to: number, length: number): number {
  return syscall(SYS.copy_file_range, from, null, to, null, length, 0);
}

/** Makes the empty file `to` share the data of `from` (ioctl_ficlonerange(2)); returns whether that worked. */
export function cloneFile(from: number, to: number): boolean {
  return syscall(SYS.ioctl, to, FICLONE, from) === 0;
}

/** openat(2) with the caller's flags as they are: a descriptor, or -errno. The caller passes O_CLOEXEC. */
export function openResult(dir: number, name: string, flags: number, mode: number): number {
  return syscall(SYS.openat, dir, cstring(name), flags, mode);
}

export function closeNumber(fd: number): void {
  syscall(SYS.close, fd);
}

/** mkdirat(2): 0 or -errno */
export function mkdirResult(dir: number, name: string, mode: number): number {
  return syscall(SYS.mkdirat, dir, cstring(name), mode);
}

/** symlinkat(2): 0 or -errno */
export function symlinkResult(target: string, dir: number, name: string): number {
  return syscall(SYS.symlinkat, cstring(target), dir, cstring(name));
}

/** mknodat(2): 0 or -errno */
export function mknodResult(dir: number, name: string, mode: number, device: number): number {
  return syscall(SYS.mknodat, dir, cstring(name), mode, device);
}

/**
 * A file in memory (memfd_create(2)). Its descriptor is above the standard ones, which a caller may have closed. With
 * `inherited` it stays open in programs that this process executes.
 */
export function makeMemoryFile(name: string, inherited = false): Fd {
  using file = new Fd(check(syscall(SYS.memfd_create, cstring(name), MFD_CLOEXEC), "memfd_create"));
  const duplicate = inherited ? F_DUPFD : F_DUPFD_CLOEXEC;
  return new Fd(check(syscall(SYS.fcntl, file.number, duplicate, 3), "fcntl"));
}

/** What kind of file system an open file is on: f_type of fstatfs(2). */
export function fileSystemMagic(fd: number): number {
  const buffer = new Uint8Array(128);
  check(syscall(SYS.fstatfs, fd, buffer), "fstatfs");
  return Number(new DataView(buffer.buffer).getBigUint64(0, true));
}
