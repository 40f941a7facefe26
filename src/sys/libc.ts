/**
 * The one door to the kernel: syscall(2) and a few libc functions through bun:ffi.
 *
 * glibc is mapped already, so dlopen by its soname opens no file that an attacker could place; nothing else
 * may be opened by a bare name. Everything is synchronous and runs on the calling thread: mount
 * namespaces entered with setns(2) are a property of the thread.
 */
import { dlopen, FFIType, type Pointer, read } from "bun:ffi";
import { encodeName } from "../bytes.ts";
import { SysError } from "./errno.ts";

export type Arg = number | bigint | NodeJS.TypedArray | null;

const libc = open();
const errnoAddress = libc.__errno_location() as Pointer;

function open() {
  try {
    return dlopen("libc.so.6", {
      syscall: { args: ["i64", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: FFIType.i64_fast },
      __errno_location: { args: [], returns: "ptr" },
    }).symbols;
  } catch (cause) {
    throw new Error(
      "system calls are unavailable: bun:ffi needs memory that is writable and executable; " +
        "hint: lift MemoryDenyWriteExecute= or the address space limit (ulimit -v) of the calling service",
      { cause },
    );
  }
}

/**
 * syscall(2). Returns the result, or -errno on failure; errno is read at once, before anything can change it.
 * Strings are passed as NUL-terminated bytes made by {@link cstring}.
 */
export function syscall(
  number: number,
  a: Arg = 0,
  b: Arg = 0,
  c: Arg = 0,
  d: Arg = 0,
  e: Arg = 0,
  f: Arg = 0,
): number {
  const result = Number(libc.syscall(number, a as 0, b as 0, c as 0, d as 0, e as 0, f as 0));
  return result === -1 ? -read.i32(errnoAddress, 0) : result;
}

/** Throws {@link SysError} naming the call and its object when `result` is a negative errno; else returns it. */
export function check(result: number, call: string, object?: string | Uint8Array): number {
  if (result < 0) throw new SysError(-result, call, object);
  return result;
}

/** NUL-terminated bytes of a path. A NUL inside would silently cut it short, so it is refused. */
export function cstring(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === "string" ? encodeName(text) : text;
  if (bytes.includes(0)) throw new SysError(22, "path with a NUL byte", bytes);
  const result = new Uint8Array(bytes.length + 1);
  result.set(bytes);
  return result;
}
