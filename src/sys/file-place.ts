/** Where a file is (statx(2)), from the kernel alone, without asking a network or FUSE server. */
import { errno } from "./errno.ts";
import { AT_EMPTY_PATH, S_IFMT } from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

const STATX_MNT_ID = 0x1000;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const STATX_TYPE = 0x1;
const STATX_MNT_ID_UNIQUE = 0x4000;
const AT_STATX_DONT_SYNC = 0x4000;

/** The mount that holds an open file. */
export interface MountStatus {
  /** device number of the superblock, `major:minor`, as in mountinfo */
  readonly device: string;
  /** STATX_MNT_ID_UNIQUE (Linux 6.8), which is not reused before the next boot */
  readonly unique?: number;
  /** STATX_MNT_ID, as in mountinfo; absent where there is a unique id */
  readonly id?: number;
  readonly isMountRoot: boolean;
}

/** The mount of an open file. Never waits for a network or FUSE server (statx(2), AT_STATX_DONT_SYNC). */
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

/** Where a file is and of which type: all that the kernel knows without asking the file system. */
export interface FilePlace {
  /** STATX_MNT_ID, as in mountinfo */
  readonly mountId: bigint;
  /** `major:minor` */
  readonly dev: string;
  /** type of the file, as in st_mode, without permissions */
  readonly mode: number;
}

/**
 * The place of an open file (with an empty `path`) or of the target of a magic link in /proc; undefined where it does
 * not exist. Never waits for a network or FUSE server.
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

/** Like {@link filePlace} for an open file. */
export function openFilePlace(fd: number): FilePlace {
  const place = filePlace(fd);
  if (!place) check(-(errno.ENOENT as number), "statx", `descriptor ${fd}`);
  return place as FilePlace;
}
