/** Sockets that processes of a container have bound to files of its root (unix(7)). */

import { isErrno } from "../sys/errno.ts";
import { openat2, openDirectory, readlink, readText } from "../sys/fd.ts";
import { openFilePlace } from "../sys/file-place.ts";
import { O_NOFOLLOW, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_XDEV, S_IFSOCK } from "../sys/flags.ts";
import { gone, nameOf } from "../sys/process/processes.ts";
import { isType, list } from "../sys/stat.ts";
import { isOfRoot, type RootIds } from "./open-files.ts";

export interface BoundSocket {
  readonly path: string;
  readonly pid: number;
  readonly command: string;
}

/** flag of /proc/net/unix for a socket that listens (`__SO_ACCEPTCON`) */
const LISTENS = 0x10000;
const DATAGRAM = 2;

/** Sockets to which somebody can still connect or send: a lookup through another root would not find them. */
export function boundSockets(init: number, pids: readonly number[], rootIds: RootIds): BoundSocket[] {
  const bound = new Map<string, string>();
  for (const line of (gone(() => readText(`/proc/${init}/net/unix`)) ?? "").split("\n")) {
    const [, flags, type, inode, path] =
      /^\S+: [0-9A-F]+ [0-9A-F]+ ([0-9A-F]+) ([0-9A-F]+) [0-9A-F]+ +([0-9]+) (\/.*)$/.exec(line) ?? [];
    if (flags === undefined || type === undefined || inode === undefined || path === undefined) continue;
    const open = (Number.parseInt(flags, 16) & LISTENS) !== 0 || Number.parseInt(type, 16) === DATAGRAM;
    if (open && liesOnRoot(init, path, rootIds)) bound.set(`socket:[${inode}]`, path);
  }
  if (bound.size === 0) return [];
  const found: BoundSocket[] = [];
  for (const pid of pids) {
    for (const fd of gone(() => list(`/proc/${pid}/fd`)) ?? []) {
      const path = bound.get(gone(() => readlink(`/proc/${pid}/fd/${fd}`)) ?? "");
      if (path !== undefined) found.push({ path, pid, command: nameOf(pid) });
    }
  }
  return found;
}

function liesOnRoot(init: number, path: string, rootIds: RootIds): boolean {
  try {
    using root = openDirectory(`/proc/${init}/root`);
    // not across mounts: what lies there is not on the root, and its file system might never answer
    using file = openat2(root.number, path, O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_XDEV);
    const place = openFilePlace(file.number);
    return isType(place, S_IFSOCK) && isOfRoot(rootIds, place);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ESRCH", "EXDEV")) return false;
    throw error;
  }
}
