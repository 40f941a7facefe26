import { quote } from "../text/quote.ts";

/** Names and texts of errno values (errno(3)); the same numbers on x86-64 and arm64. */
const table: Record<number, readonly [name: string, text: string]> = {
  1: ["EPERM", "Operation not permitted"],
  2: ["ENOENT", "No such file or directory"],
  3: ["ESRCH", "No such process"],
  4: ["EINTR", "Interrupted system call"],
  5: ["EIO", "Input/output error"],
  6: ["ENXIO", "No such device or address"],
  7: ["E2BIG", "Argument list too long"],
  9: ["EBADF", "Bad file descriptor"],
  10: ["ECHILD", "No child processes"],
  11: ["EAGAIN", "Resource temporarily unavailable"],
  12: ["ENOMEM", "Cannot allocate memory"],
  13: ["EACCES", "Permission denied"],
  14: ["EFAULT", "Bad address"],
  16: ["EBUSY", "Device or resource busy"],
  17: ["EEXIST", "File exists"],
  18: ["EXDEV", "Invalid cross-device link"],
  19: ["ENODEV", "No such device"],
  20: ["ENOTDIR", "Not a directory"],
  21: ["EISDIR", "Is a directory"],
  22: ["EINVAL", "Invalid argument"],
  23: ["ENFILE", "Too many open files in system"],
  24: ["EMFILE", "Too many open files"],
  25: ["ENOTTY", "Inappropriate ioctl for device"],
  26: ["ETXTBSY", "Text file busy"],
  27: ["EFBIG", "File too large"],
  28: ["ENOSPC", "No space left on device"],
  29: ["ESPIPE", "Illegal seek"],
  30: ["EROFS", "Read-only file system"],
  31: ["EMLINK", "Too many links"],
  32: ["EPIPE", "Broken pipe"],
  34: ["ERANGE", "Numerical result out of range"],
  36: ["ENAMETOOLONG", "File name too long"],
  38: ["ENOSYS", "Function not implemented"],
  39: ["ENOTEMPTY", "Directory not empty"],
  40: ["ELOOP", "Too many levels of symbolic links"],
  61: ["ENODATA", "No data available"],
  75: ["EOVERFLOW", "Value too large for defined data type"],
  95: ["EOPNOTSUPP", "Operation not supported"],
  116: ["ESTALE", "Stale file handle"],
  117: ["EUCLEAN", "Structure needs cleaning"],
  122: ["EDQUOT", "Disk quota exceeded"],
};

export const errno: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(table).map(([number, [name]]) => [name, Number(number)]),
);

export function errnoName(number: number): string {
  return table[number]?.[0] ?? `errno ${number}`;
}

function errnoText(number: number): string {
  return table[number]?.[1] ?? "Unknown error";
}

/** A failed system call; the message reads `EBUSY: Device or resource busy, umount2 '/run/x'`. */
export class SysError extends Error {
  override readonly name = "SysError";
  readonly code: string;

  constructor(
    readonly errno: number,
    readonly call: string,
    readonly object?: string | Uint8Array,
  ) {
    const named = object === undefined ? "" : ` ${quote(object)}`;
    super(`${errnoName(errno)}: ${errnoText(errno)}, ${call}${named}`);
    this.code = errnoName(errno);
  }
}

/** Whether `error` is a {@link SysError} with one of these names. */
export function isErrno(error: unknown, ...names: string[]): error is SysError {
  return error instanceof SysError && names.includes(error.code);
}

/** Whether a path was removed, or is of another type than when it was looked at (open(2), O_DIRECTORY and O_NOFOLLOW). */
export function isReplaced(error: unknown): error is SysError {
  return isErrno(error, "ENOENT", "ENOTDIR", "ELOOP");
}

/** Runs `look` on what others may remove or replace meanwhile; undefined where it is gone or of another type (open(2)). */
export function ifStillThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isReplaced(error)) return undefined;
    throw error;
  }
}
