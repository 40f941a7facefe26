/** Converts names in archives to paths below a root, and device numbers to those of mknod(2). */

import { VeneerError } from "../errors.ts";
import { encodeName } from "../text/file-names.ts";
import { quote } from "../text/quote.ts";

/** PATH_MAX of linux/limits.h without the NUL, in bytes */
const PATH_LIMIT = 4095;

/**
 * Returns the name as a relative path without `.`, `..` and empty parts; `..` never leads out of the root. Throws
 * BAD_IMAGE when it is too long or contains a NUL.
 */
export function cleanPath(name: string): string {
  if (!/(^|\/)(\.{0,2})(\/|$)|\0/.test(name) && name.length < 1024) return name;
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  const path = parts.join("/");
  if (encodeName(path).length > PATH_LIMIT) {
    throw new VeneerError(
      "BAD_IMAGE",
      `a path is longer than ${PATH_LIMIT} bytes: ${quote(`${path.slice(0, 80)}…`)}`,
    );
  }
  if (path.includes("\0")) throw new VeneerError("BAD_IMAGE", `a path holds a NUL: ${quote(path)}`);
  return path;
}

/**
 * Encodes a device number for mknod(2) (new_encode_dev in linux/kdev_t.h). Throws BAD_IMAGE when it is out of range.
 */
export function device(major: number, minor: number): number {
  if (major >= 0 && major < 4096 && minor >= 0 && minor < 1 << 20) {
    return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
  }
  throw new VeneerError("BAD_IMAGE", `no device has the number ${major}:${minor}`);
}
