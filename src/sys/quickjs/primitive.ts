/** The small program's primitive: what host.c offers, under the names and types of the large program's. */
import { SysError } from "../errno.ts";
import type { Arg, CString } from "../primitive.ts";

/** Made by host.c. */
interface Host {
  /** strings too: as {@link encodeName} writes them, with a NUL behind */
  syscall(number: number, ...args: readonly Arg[]): number;
  addressOf(array: NodeJS.TypedArray): bigint;
  /** UTF-8 to a string; ill-formed parts become U+FFFD, a byte order mark stays */
  decode(bytes: Uint8Array): string;
  /** a string to UTF-8; a lone surrogate becomes U+FFFD */
  encode(text: string): Uint8Array<ArrayBuffer>;
  /** as the kernel got them, argv[0] first */
  arguments(): Uint8Array[];
  /** `NAME=VALUE` each, those that begin with `prefix` */
  environment(prefix: string): Uint8Array[];
  /** what the process does. Modules are evaluated once, by the build: they make no system call */
  start: () => void;
}

declare global {
  var host: Host;
}

export const { syscall, addressOf } = host;

/** The text itself, which host.c hands to the kernel. */
export function cstring(text: string): CString {
  if (text.indexOf("\0") >= 0) throw new SysError(22, "path with a NUL byte", text);
  return text as unknown as CString;
}
