/** Gives entries that were just made their owner, mode, extended attributes and time. */

import { VeneerError } from "../errors.ts";
import { errno } from "../sys/errno.ts";
import { fchmodat } from "../sys/fd.ts";
import { fchmod, fchown, fsetTime, fsetxattr, lchownat, lsetxattr } from "../sys/files/attributes.ts";
import { check } from "../sys/libc.ts";
import { setTime } from "../sys/stat.ts";
import type { Omissions } from "./omissions.ts";

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: bigint; readonly nanoseconds: number };
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

export interface AttributeOptions {
  /** every file stays this process's */
  readonly squash: boolean;
  readonly omissions: Omissions;
  /**
   * What becomes of overlayfs's own attributes, by default left out and reported: kept in a copy of an upper, all of
   * them or without what means nothing in another place
   */
  readonly overlay?: "all" | "layer";
}

/** Overlayfs's own, which are ours to give: others would let one layer say what another one shows. */
const OVERLAY = /^(trusted|user)\.overlay\./;

const DEFAULT_ACL = "system.posix_acl_default";

/** Of an open file. The owner first: chown(2) clears capabilities and set-user-ID bits. */
export function setFileAttributes(
  fd: number,
  path: string,
  attributes: Attributes,
  options: AttributeOptions,
): void {
  const { uid, gid, mode, mtime, xattrs } = attributes;
  if (!options.squash) checkOwner(fchown(fd, uid, gid), path, attributes);
  fchmod(fd, mode, path);
  for (const [name, value] of xattrs) {
    if (name === DEFAULT_ACL || isOmitted(name, path, options)) continue;
    const result = fsetxattr(fd, name, value);
    checkXattr(result, name, path, options);
  }
  fsetTime(fd, mtime, path);
}

/** Of an entry in `dir`, never through a symbolic link; `at` is a path that reaches it through proc(5). */
export function setEntryAttributes(
  dir: number,
  name: string,
  at: string,
  path: string,
  attributes: Attributes,
  options: AttributeOptions & { readonly type: "symbolic link" | "directory" | "other" },
): void {
  const { uid, gid, mode, mtime, xattrs } = attributes;
  if (!options.squash) {
    checkOwner(lchownat(dir, name, uid, gid), path, attributes);
  }
  if (options.type !== "symbolic link") fchmodat(dir, name, mode);
  for (const [key, value] of xattrs) {
    if (key === DEFAULT_ACL && options.type !== "directory") continue;
    if (isOmitted(key, path, options)) continue;
    const result = lsetxattr(at, key, value);
    checkXattr(result, key, path, options);
  }
  setTime(name, mtime, dir);
}

/** What overlayfs notes of the lower file that an entry was copied from: in another place it would be another file. */
const NOTE = /^(trusted|user)\.overlay\.(origin|impure|nlink|uuid|upper)$/;

function isOmitted(name: string, path: string, { omissions, overlay }: AttributeOptions): boolean {
  if (!OVERLAY.test(name) || overlay === "all") return false;
  if (overlay === "layer") return NOTE.test(name);
  omissions.add("overlay attribute", path);
  return true;
}

function checkXattr(result: number, name: string, path: string, { omissions }: AttributeOptions): void {
  if (result >= 0) return;
  // the file system has none of this kind, this user may not set it, or its value is malformed
  const left = [errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL];
  if (!left.includes(-result)) check(result, `setxattr ${name}`, path);
  omissions.add("attribute", path);
}

function checkOwner(result: number, path: string, { uid, gid }: Attributes): void {
  if (result !== -(errno.EINVAL as number)) {
    check(result, "chown", path);
    return;
  }
  throw new VeneerError("NO_SUBUIDS", `${uid}:${gid} owns ${path}: this user does not have these ids`, {
    hint: "add ids in /etc/subuid and /etc/subgid, or give every file to root with --squash",
  });
}
