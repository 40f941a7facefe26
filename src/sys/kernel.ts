/** The kernel's version, and the least that it must have. */
import { VeneerError } from "../errors.ts";
import { errno } from "./errno.ts";
import { AT_EMPTY_PATH } from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

let checked = false;

/**
 * Throws KERNEL, before anything is made, where mount_setattr(2) is missing (before Linux 5.12): without it nothing can
 * be mounted. A bad descriptor tells EBADF from ENOSYS.
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

/** new_utsname in linux/utsname.h: six fields */
const FIELD = 65;

/** As uname(2) has it: `6.1.0-28-amd64`. */
export function kernelRelease(): string {
  const buffer = new Uint8Array(6 * FIELD);
  check(syscall(SYS.uname, buffer), "uname");
  const field = buffer.subarray(2 * FIELD, 3 * FIELD);
  return new TextDecoder().decode(field.subarray(0, field.indexOf(0)));
}

/** By its version: for what cannot be tried, or only at a price. */
export function isKernelSince(major: number, minor: number): boolean {
  const [own = 0, ownMinor = 0] = kernelRelease()
    .split(".")
    .map((part) => Number.parseInt(part, 10));
  return own > major || (own === major && ownMinor >= minor);
}
