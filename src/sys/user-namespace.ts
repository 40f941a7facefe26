/** User namespaces (user_namespaces(7)) of this and other processes, and their id maps. */
import type { FsIds } from "./credentials.ts";
import { isErrno } from "./errno.ts";
import { Fd, openat, readlink, readText } from "./fd.ts";
import { fileSystemMagic } from "./files/data.ts";
import { AT_FDCWD, NSFS_MAGIC, O_NONBLOCK, O_RDONLY } from "./flags.ts";
import { syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";
import { fstat, stat } from "./stat.ts";

/** A range of ids, as in a line of /proc/PID/uid_map and in config.json. */
export interface IdRange {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** The id maps of a user namespace. */
export interface IdMap {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** The uid and gid of "nobody", the usual overflow ids. */
export const NOBODY = 65534;

/** PROC_USER_INIT_INO in include/linux/proc_ns.h */
const FIRST = "user:[4026531837]";

let inside: boolean | undefined;

/**
 * Whether this process is in a user namespace other than the initial one. In others, trusted.* xattrs are inaccessible,
 * so overlayfs keeps its own in user.* (overlayfs.rst, "User xattr"). The answer is cached.
 */
export function inUserNamespace(): boolean {
  inside ??= (readlink("/proc/self/ns/user") ?? FIRST) !== FIRST;
  return inside;
}

let overflow: FsIds | undefined;

/** The ids that unmapped owners appear as in a user namespace (proc_sys_kernel(5), overflowuid). */
export function overflowIds(): FsIds {
  const read = (file: string) => Number(readText(`/proc/sys/kernel/${file}`) ?? NOBODY);
  overflow ??= { uid: read("overflowuid"), gid: read("overflowgid") };
  return overflow;
}

/** Whether a file below /proc/PID/ns, or another file of a namespace, is this process's own user namespace. */
export function isOwnUserns(path: string): boolean {
  const [one, own] = [stat(path), stat("/proc/self/ns/user")];
  return one.ino === own.ino && one.dev === own.dev;
}

/** Opens a namespace by its file. Throws when the file is not on nsfs. */
export function openNamespace(path: string): Fd {
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (isNamespace(fd)) return fd;
  fd[Symbol.dispose]();
  throw new Error(`${path} is no namespace`);
}

export function isNamespace(fd: Fd): boolean {
  return fileSystemMagic(fd.number) === NSFS_MAGIC;
}

/** The id maps of a process's user namespace; host ids are those of this process's namespace. */
export function readIdMap(pid: number): IdMap {
  return { uids: readRanges(pid, "uid"), gids: readRanges(pid, "gid") };
}

/** The id ranges that are mapped in this process's user namespace. */
export function ownRanges(kind: "uid" | "gid"): readonly IdRange[] {
  return readRanges("self", kind);
}

/** The uid that root of this user namespace has in the parent namespace; undefined where root is not mapped. */
export function outerUser(): number | undefined {
  return ownRanges("uid").find(({ containerID }) => containerID === 0)?.hostID;
}

function readRanges(pid: number | "self", kind: "uid" | "gid"): IdRange[] {
  const lines = (readText(`/proc/${pid}/${kind}_map`) ?? "").split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
    return { containerID, hostID, size };
  });
}

/** linux/nsfs.h */
const NS_GET_PARENT = 0xb702;
const NS_GET_OWNER_UID = 0xb704;

/**
 * The uid that created the child of this process's user namespace in which a process runs, directly or in a descendant
 * of that child. Undefined when it runs in this user namespace, or outside of it, or is gone (ioctl_nsfs(2)).
 */
export function ownerOfUserns(pid: number): number | undefined {
  try {
    if (isOwnUserns(`/proc/${pid}/ns/user`)) return undefined;
    const own = stat("/proc/self/ns/user").ino;
    let here = openNamespace(`/proc/${pid}/ns/user`);
    try {
      for (;;) {
        const parent = syscall(SYS.ioctl, here.number, NS_GET_PARENT, null);
        // it is not below this process's namespace
        if (parent < 0) return undefined;
        const above = new Fd(parent);
        if (fstat(parent).ino === own) {
          above[Symbol.dispose]();
          const uid = new Uint32Array(1);
          return syscall(SYS.ioctl, here.number, NS_GET_OWNER_UID, uid) < 0 ? undefined : uid[0];
        }
        here[Symbol.dispose]();
        here = above;
      }
    } finally {
      here[Symbol.dispose]();
    }
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
