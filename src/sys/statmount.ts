/** Where a mount is (statmount(2), Linux 6.8), by its id: no path lookup, which a file system could delay. */
import { decodeName } from "../text/file-names.ts";
import { errno } from "./errno.ts";
import { check, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

/** struct mnt_id_req, first version: size, spare, mnt_id, param */
const REQUEST_BYTES = 24;
const STATMOUNT_MNT_POINT = 0x10n;
/** struct statmount: mask, mnt_point, str */
const MASK_AT = 8;
const MNT_POINT_AT = 108;
const STRINGS_AT = 512;
const BUFFER_BYTES = STRINGS_AT + 8192;

/**
 * The mount point of the mount with that unique id; undefined where it is not attached in this mount namespace,
 * `unknown` where the kernel lacks statmount(2) or denies it.
 */
export function mountPointOf(unique: number): string | undefined | "unknown" {
  const request = new BigUint64Array([BigInt(REQUEST_BYTES), BigInt(unique), STATMOUNT_MNT_POINT]);
  const buffer = new Uint8Array(BUFFER_BYTES);
  const result = syscall(SYS.statmount, request, buffer, BUFFER_BYTES, 0);
  if (result === -(errno.ENOENT as number)) return undefined;
  if ([errno.ENOSYS, errno.EPERM, errno.EOVERFLOW].includes(-result)) return "unknown";
  check(result, "statmount", `mount ${unique}`);
  const view = new DataView(buffer.buffer);
  if ((view.getBigUint64(MASK_AT, true) & STATMOUNT_MNT_POINT) === 0n) return "unknown";
  const start = STRINGS_AT + view.getUint32(MNT_POINT_AT, true);
  return decodeName(buffer.subarray(start, buffer.indexOf(0, start)));
}
