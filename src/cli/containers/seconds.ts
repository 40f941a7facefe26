import { UsageError } from "../../errors.ts";
import { quote } from "../../text/quote.ts";

/** The value of an option in seconds, as milliseconds. Throws UsageError when it does not match `valid`. */
export function milliseconds(option: string, seconds: string, valid: RegExp): number {
  if (valid.test(seconds)) return Number(seconds) * 1000;
  throw new UsageError(`time ${quote(seconds)} is not valid`, `give whole seconds: ${option} 10`);
}
