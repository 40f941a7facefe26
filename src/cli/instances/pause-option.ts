/** For how long a container may stand still: an option of the verbs that move what runs. */
import { UsageError } from "../../errors.ts";
import { PAUSE_LIMIT } from "../../live/pause.ts";
import { quote } from "../../text/quote.ts";
import type { Input } from "../framework/command.ts";

export const PAUSE_OPTION = {
  name: "--pause-limit",
  value: "MILLISECONDS",
  help: `for how long a container may stand still, ${PAUSE_LIMIT} unless it is given: what takes longer is refused or undone`,
} as const;

/** Undefined where the option is not given. */
export function pauseLimitOf(input: Input): number | undefined {
  const text = input.value(PAUSE_OPTION.name);
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text);
  throw new UsageError(
    `--pause-limit ${quote(text)} is no number of milliseconds`,
    "from 1 to 9999999, as in --pause-limit 5000",
  );
}
