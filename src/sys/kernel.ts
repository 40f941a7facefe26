/** The least that a kernel must have. */
import { VeneerError } from "../errors.ts";
import { errno } from "./errno.ts";
import { readText } from "./fd.ts";
import { AT_EMPTY_PATH } from "./flags.ts";
import { cstring, syscall } from "./libc.ts";
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
  const release = readText("/proc/sys/kernel/osrelease")?.trim() ?? "of unknown version";
  throw new VeneerError("KERNEL", `this kernel, Linux ${release}, has no mount_setattr(2)`, {
    hint: "Linux 6.1 or later is needed, or a seccomp filter hides the call: 'veneer doctor' says more",
  });
}
