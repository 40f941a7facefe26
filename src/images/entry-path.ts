/** Names in archives to paths below a root, and numbers of devices. */

import { VeneerError } from "../errors.ts";
import { encodeName } from "../text/file-names.ts";
import { quote } from "../text/quote.ts";

/** PATH_MAX of linux/limits.h, the NUL aside */
const PATH_LIMIT = 4095;

/** Relative, without `.`, `..` and empty parts: `..` does not lead out. Throws BAD_IMAGE where it is too long or holds a NUL. */
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

/** As mknod(2) takes it (new_encode_dev in linux/kdev_t.h). */
export function device(major: number, minor: number): number {
  if (major >= 0 && major < 4096 && minor >= 0 && minor < 1 << 20) {
    return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
  }
  throw new VeneerError("BAD_IMAGE", `no device has the number ${major}:${minor}`);
}
