/** Owners, modes, times and extended attributes by descriptor. Functions return 0 (or a number) or -errno. */
import { AT_SYMLINK_NOFOLLOW } from "../flags.ts";
import { check, cstring, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

export function fchown(fd: number, uid: number, gid: number): number {
  return syscall(SYS.fchown, fd, uid, gid);
}

/** fchownat(2) with AT_SYMLINK_NOFOLLOW. */
export function lchownat(dir: number, name: string, uid: number, gid: number): number {
  return syscall(SYS.fchownat, dir, cstring(name), uid, gid, AT_SYMLINK_NOFOLLOW);
}

export function fchmod(fd: number, mode: number, name: string): void {
  check(syscall(SYS.fchmod, fd, mode), "chmod", name);
}

export function fsetxattr(fd: number, name: string, value: Uint8Array): number {
  return syscall(SYS.fsetxattr, fd, cstring(name), value, value.length, 0);
}

export function lsetxattr(path: string, name: string, value: Uint8Array): number {
  return syscall(SYS.lsetxattr, cstring(path), cstring(name), value, value.length, 0);
}

/** utimensat(2) for an open file: sets mtime, and atime to the same. */
export function fsetTime(
  fd: number,
  { seconds, nanoseconds }: { readonly seconds: bigint; readonly nanoseconds: number },
  name: string,
): void {
  const times = new BigInt64Array([seconds, BigInt(nanoseconds), seconds, BigInt(nanoseconds)]);
  check(syscall(SYS.utimensat, fd, null, times, 0), "utimensat", name);
}

export function flistxattr(fd: number, buffer: Uint8Array): number {
  return syscall(SYS.flistxattr, fd, buffer, buffer.length);
}

export function fgetxattr(fd: number, name: string, buffer: Uint8Array): number {
  return syscall(SYS.fgetxattr, fd, cstring(name), buffer, buffer.length);
}

export function llistxattrInto(path: string, buffer: Uint8Array): number {
  return syscall(SYS.llistxattr, cstring(path), buffer, buffer.length);
}

export function lgetxattrInto(path: string, name: string, buffer: Uint8Array): number {
  return syscall(SYS.lgetxattr, cstring(path), cstring(name), buffer, buffer.length);
}
