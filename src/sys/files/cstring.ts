/** NUL-terminated strings, as the kernel takes paths and names. */
import { encodeName } from "../../text/file-names.ts";
import { SysError } from "../errno.ts";

/** The bytes of `text` and a NUL. Throws SysError (EINVAL) for a NUL in the text, which would silently truncate it. */
export function nulTerminated(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === "string" ? encodeName(`${text}\0`) : new Uint8Array([...text, 0]);
  if (bytes.indexOf(0) !== bytes.length - 1) throw new SysError(22, "path with a NUL byte", text);
  return bytes;
}
