/** System calls by {@link syscall}, their errors, and paths as the kernel takes them. */
import { encodeName } from "../text/file-names.ts";
import { SysError } from "./errno.ts";
import { addressOf, syscall } from "./primitive.ts";

export { addressOf, syscall };

/** Throws {@link SysError} naming the call and its object when `result` is a negative errno; else returns it. */
export function check(result: number, call: string, object?: string | Uint8Array): number {
  if (result < 0) throw new SysError(-result, call, object);
  return result;
}

/** NUL-terminated bytes of a path. A NUL inside would silently cut it short, so it is refused. */
export function cstring(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === "string" ? encodeName(`${text}\0`) : new Uint8Array([...text, 0]);
  if (bytes.indexOf(0) !== bytes.length - 1) throw new SysError(22, "path with a NUL byte", text);
  return bytes;
}
