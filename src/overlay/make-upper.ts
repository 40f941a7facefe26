/** Creates a fresh upper, in a directory that no container has seen yet. */

import { type Fd, fchmodat, fchownat, mkdirat, openat } from "../sys/fd.ts";
import { AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../sys/flags.ts";
import { setTime, setxattr } from "../sys/stat.ts";
import { inUserNamespace, overflowIds } from "../sys/user-namespace.ts";
import { makeWhiteout, markOpaque } from "./marks.ts";
import type { UpperEntry, UpperRoot } from "./upper-entries.ts";

/**
 * Creates `upper`, with the given attributes and entries, and `work` in an open directory. Throws on the first failure;
 * the caller removes what has been created by then.
 */
export function makeUpper(directory: Fd, asked: UpperRoot, asFound: readonly UpperEntry[]): void {
  const foreign = isForeign(asked);
  const root = foreign ? rootInstead(asked) : asked;
  const entries = foreign ? asFound.map(rootInstead) : asFound;
  mkdirat(directory.number, "upper", 0o700);
  mkdirat(directory.number, "work", 0o700);
  using upper = openat(directory.number, "upper", O_PATH | O_DIRECTORY | O_NOFOLLOW);
  for (const entry of entries) {
    if (entry.kind === "whiteout") makeWhiteout(upper.number, entry.path);
    else makeDirectory(upper, entry);
  }
  // innermost first: creating an entry changes its parent's mtime, and the entry inherits the parent's default ACL
  for (const entry of [...entries].reverse()) {
    if (entry.kind === "whiteout") continue;
    setAttributes(upper, entry.path, entry);
    if (entry.kind === "merged" && entry.mtime) setTime(entry.path, entry.mtime, upper.number);
  }
  // in a user namespace, xattrs of unmapped owners cannot be set
  setAttributes(directory, "upper", foreign ? { ...root, xattrs: new Map() } : root);
}

/** Whether this is a user namespace that has no id for the owner, as in a base that root shares with all users. */
function isForeign({ uid }: { readonly uid: number }): boolean {
  return inUserNamespace() && uid === overflowIds().uid;
}

function rootInstead<T extends UpperRoot>(owner: T): T {
  const { uid, gid } = overflowIds();
  return { ...owner, uid: owner.uid === uid ? 0 : owner.uid, gid: owner.gid === gid ? 0 : owner.gid };
}

function makeDirectory(upper: Fd, entry: UpperEntry): void {
  mkdirat(upper.number, entry.path, 0o700);
  if (entry.kind === "opaque") markOpaque(`${upper.path}/${entry.path}`);
}

/**
 * chown comes first, because it clears set-user-ID bits (chown(2)); ACLs come last, because chmod changes their mask.
 */
function setAttributes(dir: Fd, path: string, owner: UpperRoot): void {
  if (owner.uid !== 0 || owner.gid !== 0) {
    fchownat(dir.number, path, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
  }
  fchmodat(dir.number, path, owner.mode);
  for (const [name, value] of owner.xattrs ?? []) setxattr(`${dir.path}/${path}`, name, value);
}
