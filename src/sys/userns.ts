/** User namespaces (user_namespaces(7)) of processes and files. */
import { type Fd, openat, readText } from "./fd.ts";
import { AT_FDCWD, NSFS_MAGIC, O_NONBLOCK, O_RDONLY } from "./flags.ts";
import { check, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";
import { stat } from "./stat.ts";

/** A range of ids, as in a line of /proc/PID/uid_map and in config.json. */
export interface IdRange {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** The maps of a user namespace. */
export interface IdMap {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** A namespace by its file. Throws when the file is none of nsfs. */
export function openNamespace(path: string): Fd {
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (isNamespace(fd)) return fd;
  fd[Symbol.dispose]();
  throw new Error(`${path} is no namespace`);
}

export function isNamespace(fd: Fd): boolean {
  const buffer = new Uint8Array(128);
  check(syscall(SYS.fstatfs, fd.number, buffer), "fstatfs");
  return new DataView(buffer.buffer).getBigUint64(0, true) === BigInt(NSFS_MAGIC);
}

/** Whether a process (or the file of a namespace) is in the user namespace of this process. */
export function isOwnUserns(path: string): boolean {
  const [one, own] = [stat(path), stat("/proc/self/ns/user")];
  return one.ino === own.ino && one.dev === own.dev;
}

/** The maps of a process's user namespace, as this process's namespace counts. */
export function readIdMap(pid: number): IdMap {
  return { uids: readRanges(`/proc/${pid}/uid_map`), gids: readRanges(`/proc/${pid}/gid_map`) };
}

function readRanges(path: string): IdRange[] {
  const lines = (readText(path) ?? "").split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [containerID, hostID, size] = line.trim().split(/\s+/).map(Number) as [number, number, number];
    return { containerID, hostID, size };
  });
}
