/**
 * How the large program makes a system call, through bun:ffi. The build of the small program replaces this file with
 * quickjs/primitive.ts, which exports the same.
 *
 * glibc is mapped already, so dlopen with its soname opens no file that an attacker could have placed; do not open
 * anything else by a bare name. All calls are synchronous and run on the calling thread, because the mount namespace
 * that setns(2) enters belongs to the thread.
 */
import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { nulTerminated } from "./files/cstring.ts";

/** Passed as a number, as the address of an array's bytes, or as NULL. */
export type Arg = number | bigint | NodeJS.TypedArray | CString | null;

/** A string from {@link cstring}, to pass to {@link syscall} and nothing else. */
export type CString = { readonly CString: unique symbol };

/** A path or name as an argument. Throws SysError (EINVAL) for a NUL in it, which would silently truncate it. */
export function cstring(text: string): CString {
  return nulTerminated(text) as unknown as CString;
}

const libc = open();
const errnoAddress = libc.__errno_location() as Pointer;

function open() {
  try {
    return dlopen("libc.so.6", {
      syscall: { args: ["i64", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: FFIType.i64_fast },
      __errno_location: { args: [], returns: "ptr" },
    }).symbols;
  } catch {
    // not thrown: modules are still being evaluated, and Bun would print the surrounding code with the error
    process.stderr.write(
      "veneer: this command needs memory that is writable and executable, which is refused; hint: lift the calling " +
        "service's MemoryDenyWriteExecute= or address space limit (ulimit -v), or under SELinux: setsebool allow_execmem 1\n",
    );
    process.exit(1);
  }
}

/** syscall(2). Returns the result, or -errno on failure. Reads errno at once, before anything can change it. */
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

/** The address of an array's bytes, for structures with pointers. Keep the array reachable until the call returns. */
export function addressOf(array: NodeJS.TypedArray): bigint {
  return BigInt(ptr(array));
}
