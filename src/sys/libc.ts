/** System calls, their errors, and strings as the kernel takes them. */
import { SysError } from "./errno.ts";
import { addressOf, cstring, syscall } from "./primitive.ts";

export { addressOf, cstring, syscall };

/** Throws {@link SysError} with the call and its object when `result` is a negative errno; otherwise returns it. */
export function check(result: number, call: string, object?: string | Uint8Array): number {
  if (result < 0) throw new SysError(-result, call, object);
  return result;
}
