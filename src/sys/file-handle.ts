/**
 * File handles (name_to_handle_at(2)): the kernel's own name for an inode, which nobody can forge. The handle of an
 * overlay's root contains the handle of its upper directory (Linux 6.6, AT_HANDLE_FID; fs/overlayfs/export.c).
 */
import type { Fd } from "./fd.ts";
import { AT_EMPTY_PATH } from "./flags.ts";
import { cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

/** Linux 6.5: asks for a handle that can be compared but need not be usable to open the file. */
const AT_HANDLE_FID = 0x200;
const MAX_HANDLE_SZ = 128;
/** struct file_handle: handle_bytes, handle_type */
const HEADER = 8;

/** fs/overlayfs/overlayfs.h: OVL_FILEID_V1, and the fields of struct ovl_fh: padding, version, magic, len, flags, type, uuid */
const OVERLAY = 0xf8;
const FLAGS_AT = 6;
const TYPE_AT = 7;
const REAL_AT = 24;
const PATH_UPPER = 1 << 2;

function handle(fd: Fd): { type: number; bytes: Uint8Array } | undefined {
  const buffer = new Uint8Array(HEADER + MAX_HANDLE_SZ);
  const view = new DataView(buffer.buffer);
  view.setUint32(0, MAX_HANDLE_SZ, true);
  const mountId = new Int32Array(1);
  const flags = AT_EMPTY_PATH | AT_HANDLE_FID;
  // EINVAL before Linux 6.5, EOPNOTSUPP for a file system without handles: both mean that there is none
  if (syscall(SYS.name_to_handle_at, fd.number, cstring(""), buffer, mountId, flags) < 0) return undefined;
  return {
    type: view.getInt32(4, true),
    bytes: buffer.subarray(HEADER, HEADER + view.getUint32(0, true)),
  };
}

/** The handle of an open file as text, `TYPE:HEX`; undefined where the kernel or the file system has none. */
export function fileHandle(fd: Fd): string | undefined {
  const found = handle(fd);
  return found && `${found.type}:${hex(found.bytes)}`;
}

/**
 * The handle of the upper directory of the overlay whose root is open as `fd`, in the form of {@link fileHandle}.
 * Undefined for anything else. Also undefined for an overlay that was mounted in a user namespace: its handles contain
 * inode numbers that its file systems can choose.
 */
export function upperHandle(fd: Fd): string | undefined {
  const found = handle(fd);
  if (found?.type !== OVERLAY || found.bytes.length <= REAL_AT) return undefined;
  const { bytes } = found;
  if (((bytes[FLAGS_AT] as number) & PATH_UPPER) === 0) return undefined;
  return `${bytes[TYPE_AT]}:${hex(bytes.subarray(REAL_AT))}`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
