/** Sets the owner, mode, extended attributes and modification time of new entries. */

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
  /** every file keeps the owner that this process gives it */
  readonly squash: boolean;
  readonly omissions: Omissions;
  /**
   * which attributes of overlayfs to keep, in a copy of an upper: all, or for a layer those that are valid in another
   * place; absent: none, and they are reported
   */
  readonly overlay?: "all" | "layer";
}

/** Attributes of overlayfs, which only veneer may set: in foreign ones, a layer could change what another one shows. */
const OVERLAY = /^(trusted|user)\.overlay\./;

const DEFAULT_ACL = "system.posix_acl_default";

/** Sets the attributes of an open file; the owner first, because chown(2) clears capabilities and set-user-ID bits. */
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

/** Sets the attributes of an entry in `dir` without following symbolic links; `at` is its path through proc(5). */
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

/** Attributes that refer to the lower file of a copy-up, which in another place would be a different file. */
const NOTE = /^(trusted|user)\.overlay\.(origin|impure|nlink|uuid|upper)$/;

function isOmitted(name: string, path: string, { omissions, overlay }: AttributeOptions): boolean {
  if (!OVERLAY.test(name) || overlay === "all") return false;
  if (overlay === "layer") return NOTE.test(name);
  omissions.add("overlay attribute", path);
  return true;
}

function checkXattr(result: number, name: string, path: string, { omissions }: AttributeOptions): void {
  if (result >= 0) return;
  // the file system does not support it, this user may not set it, or the value is malformed
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
