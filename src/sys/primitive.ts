/**
 * The one primitive that the two run times do differently: a system call. This file is the large program's, over
 * bun:ffi; the build of the small program takes quickjs/primitive.ts in its place. Both export the same.
 *
 * glibc is mapped already, so dlopen by its soname opens no file that an attacker could place; nothing else
 * may be opened by a bare name. Everything is synchronous and runs on the calling thread: mount
 * namespaces entered with setns(2) are a property of the thread.
 */
import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { nulTerminated } from "./files/cstring.ts";

/** A number or bigint as it is, the address of an array's bytes, or NULL. */
export type Arg = number | bigint | NodeJS.TypedArray | CString | null;

/** What {@link cstring} makes of a text; for nothing but {@link syscall}. */
export type CString = { readonly CString: unique symbol };

/** A path or name as an argument. Throws SysError for one with a NUL, which would silently cut it short. */
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
    // thrown while modules are evaluated, it would be shown with the code around it
    process.stderr.write(
      "veneer: this command needs memory that is writable and executable, which is refused; hint: lift the calling " +
        "service's MemoryDenyWriteExecute= or address space limit (ulimit -v), or under SELinux: setsebool allow_execmem 1\n",
    );
    process.exit(1);
  }
}

/** syscall(2). Returns the result, or -errno on failure; errno is read at once, before anything can change it. */
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

/** Where an array's bytes are, for structures that hold pointers: keep the array reachable until the call is over. */
export function addressOf(array: NodeJS.TypedArray): bigint {
  return BigInt(ptr(array));
}
