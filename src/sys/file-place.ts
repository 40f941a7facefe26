/** Where a file is (statx(2)), told by the kernel alone: no file system is asked, however it is served. */
import { errno } from "./errno.ts";
import { AT_EMPTY_PATH, S_IFMT } from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

const STATX_MNT_ID = 0x1000;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const STATX_TYPE = 0x1;
const STATX_MNT_ID_UNIQUE = 0x4000;
const AT_STATX_DONT_SYNC = 0x4000;

/** The mount that an open file is on, of which its file system is not asked. */
export interface MountStatus {
  /** of the superblock, `major:minor`, as in mountinfo */
  readonly device: string;
  /** STATX_MNT_ID_UNIQUE (Linux 6.8): no other mount has it before the next boot */
  readonly unique?: number;
  /** STATX_MNT_ID, as in mountinfo; absent where there is a unique one */
  readonly id?: number;
  readonly isMountRoot: boolean;
}

/** Never waits for a file system, a network or FUSE server among them (statx(2), AT_STATX_DONT_SYNC). */
export function mountStatus(fd: number): MountStatus {
  const buffer = new Uint8Array(256);
  const mask = STATX_TYPE | STATX_MNT_ID | STATX_MNT_ID_UNIQUE;
  check(
    syscall(SYS.statx, fd, cstring(""), AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, buffer),
    "statx",
    `descriptor ${fd}`,
  );
  const view = new DataView(buffer.buffer);
  const id = Number(view.getBigUint64(144, true));
  return {
    device: `${view.getUint32(136, true)}:${view.getUint32(140, true)}`,
    ...((view.getUint32(0, true) & STATX_MNT_ID_UNIQUE) === 0 ? { id } : { unique: id }),
    isMountRoot: (view.getUint32(8, true) & STATX_ATTR_MOUNT_ROOT) !== 0,
  };
}

/** Where a file is and what kind of file it is: what the kernel tells without asking the file's file system. */
export interface FilePlace {
  /** STATX_MNT_ID, as in mountinfo */
  readonly mountId: bigint;
  /** `major:minor` */
  readonly dev: string;
  /** type of the file, as in st_mode; no permissions */
  readonly mode: number;
}

/**
 * The place of an open file (`path` empty) or of what a link of /proc leads to; undefined where it does not exist.
 * Never waits for a file system: a FUSE server that does not answer is not asked.
 */
export function filePlace(dir: number, path = ""): FilePlace | undefined {
  const buffer = new Uint8Array(256);
  const flags = AT_STATX_DONT_SYNC | (path === "" ? AT_EMPTY_PATH : 0);
  const result = syscall(SYS.statx, dir, cstring(path), flags, STATX_TYPE | STATX_MNT_ID, buffer);
  if (result === -(errno.ENOENT as number) || result === -(errno.ENOTDIR as number)) return undefined;
  check(result, "statx", path === "" ? `descriptor ${dir}` : path);
  const view = new DataView(buffer.buffer);
  return {
    mode: view.getUint16(28, true) & S_IFMT,
    dev: `${view.getUint32(136, true)}:${view.getUint32(140, true)}`,
    mountId: view.getBigUint64(144, true),
  };
}

/** The place of an open file. */
export function openFilePlace(fd: number): FilePlace {
  const place = filePlace(fd);
  if (!place) check(-(errno.ENOENT as number), "statx", `descriptor ${fd}`);
  return place as FilePlace;
}
