/** Applies the id maps of a user namespace to ids, ACLs and capabilities of files. Pure. */
import { type IdMap, type IdRange, NOBODY } from "../sys/user-namespace.ts";
import { hostId } from "../userns/id-map.ts";

/** Returns the mapped id, or that of nobody for an id without a mapping. */
export function shiftedId(ranges: readonly IdRange[], id: number): number {
  return hostId(ranges, id) ?? NOBODY;
}

/** Tags of ACL entries with an id (linux/posix_acl.h). */
const ACL_USER = 2;
const ACL_GROUP = 8;

/** Shifts a value of system.posix_acl_access or _default: a header and entries of 8 bytes (linux/posix_acl_xattr.h). */
export function shiftAcl(value: Uint8Array, map: IdMap): Uint8Array {
  const result = value.slice();
  const view = new DataView(result.buffer);
  for (let at = 4; at + 8 <= result.length; at += 8) {
    const tag = view.getUint16(at, true);
    if (tag !== ACL_USER && tag !== ACL_GROUP) continue;
    const ranges = tag === ACL_USER ? map.uids : map.gids;
    view.setUint32(at + 4, shiftedId(ranges, view.getUint32(at + 4, true)), true);
  }
  return result;
}

const REVISION = 0xff000000;
const REVISION_2 = 0x02000000;
const REVISION_3 = 0x03000000;
const LENGTH_3 = 24;

/**
 * Converts a value of security.capability (linux/capability.h) for programs in a user namespace. Only revision 3 names
 * the root of a namespace; without it the kernel honours the value only in the initial one.
 */
export function shiftCapability(value: Uint8Array, map: IdMap): Uint8Array {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const magic = view.getUint32(0, true);
  const revision = (magic & REVISION) >>> 0;
  if (revision !== REVISION_2 && revision !== REVISION_3) return value;
  const root = revision === REVISION_3 ? view.getUint32(LENGTH_3 - 4, true) : 0;
  const result = new Uint8Array(LENGTH_3);
  result.set(value.subarray(0, LENGTH_3 - 4));
  const target = new DataView(result.buffer);
  target.setUint32(0, ((magic & ~REVISION) | REVISION_3) >>> 0, true);
  target.setUint32(LENGTH_3 - 4, shiftedId(map.uids, root), true);
  return result;
}
