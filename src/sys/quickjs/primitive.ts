/** How the small program makes a system call: through host.c, with the same exports as ../primitive.ts. */
import { SysError } from "../errno.ts";
import type { Arg, CString } from "../primitive.ts";

/** The object that host.c provides. */
interface Host {
  /** also takes strings, which it encodes like {@link encodeName}, with a NUL at the end */
  syscall(number: number, ...args: readonly Arg[]): number;
  addressOf(array: NodeJS.TypedArray): bigint;
  /** decodes UTF-8; ill-formed parts become U+FFFD, a byte order mark is kept */
  decode(bytes: Uint8Array): string;
  /** encodes as UTF-8; a lone surrogate becomes U+FFFD */
  encode(text: string): Uint8Array<ArrayBuffer>;
  /** the raw arguments of this process, argv[0] first */
  arguments(): Uint8Array[];
  /** the `NAME=VALUE` entries that begin with `prefix` */
  environment(prefix: string): Uint8Array[];
  /** the main function, called at run time; modules are evaluated by the build, where they make no system call */
  start: () => void;
}

declare global {
  var host: Host;
}

export const { syscall, addressOf } = host;

/** Returns the text itself, which host.c encodes. Throws SysError (EINVAL) for a NUL in it. */
export function cstring(text: string): CString {
  if (text.indexOf("\0") >= 0) throw new SysError(22, "path with a NUL byte", text);
  return text as unknown as CString;
}
