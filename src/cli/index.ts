import { UsageError } from "../errors.ts";
import type { GlobalOptions } from "../input/config.ts";
export function run(_o: GlobalOptions, word: string | undefined, _rest: string[]): void {
  throw new UsageError(`unknown command ${word}`);
}
