/** The kernel's version, and the oldest one that works. */
import { VeneerError } from "../errors.ts";
import { errno } from "./errno.ts";
import { AT_EMPTY_PATH } from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

let checked = false;

/**
 * Throws KERNEL where mount_setattr(2) is missing (before Linux 5.12), without which nothing can be mounted. Tries the
 * call on a bad descriptor: EBADF shows that it exists, ENOSYS that it does not.
 */
export function requireKernel(): void {
  if (checked) return;
  const values = new BigUint64Array(4);
  const name = cstring("");
  const result = syscall(SYS.mount_setattr, -1, name, AT_EMPTY_PATH, values, values.byteLength);
  if (result !== -(errno.ENOSYS as number)) {
    checked = true;
    return;
  }
  throw new VeneerError("KERNEL", `this kernel, Linux ${kernelRelease()}, has no mount_setattr(2)`, {
    hint: "Linux 6.1 or later is needed, or a seccomp filter hides the call: 'veneer doctor' shows more",
  });
}

/** size in bytes of each of the six fields of struct new_utsname (linux/utsname.h) */
const FIELD = 65;

/** The release as in uname(2), such as `6.1.0-28-amd64`. */
export function kernelRelease(): string {
  const buffer = new Uint8Array(6 * FIELD);
  check(syscall(SYS.uname, buffer), "uname");
  const field = buffer.subarray(2 * FIELD, 3 * FIELD);
  return new TextDecoder().decode(field.subarray(0, field.indexOf(0)));
}

/** Whether the kernel has at least this version. For features that cannot be tried cheaply. */
export function isKernelSince(major: number, minor: number): boolean {
  const [own = 0, ownMinor = 0] = kernelRelease()
    .split(".")
    .map((part) => Number.parseInt(part, 10));
  return own > major || (own === major && ownMinor >= minor);
}
