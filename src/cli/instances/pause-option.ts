/** The option for the longest pause of a container, for commands that move running containers. */
import { UsageError } from "../../errors.ts";
import { PAUSE_LIMIT } from "../../live/pause.ts";
import { quote } from "../../text/quote.ts";
import type { Input } from "../framework/command.ts";

export const PAUSE_OPTION = {
  name: "--pause-limit",
  value: "MILLISECONDS",
  help: `longest pause of a container (default ${PAUSE_LIMIT}): what takes longer is refused or reverted`,
} as const;

/** The longest pause in milliseconds; undefined when the option is not given. Throws UsageError. */
export function pauseLimitOf(input: Input): number | undefined {
  const text = input.value(PAUSE_OPTION.name);
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text);
  throw new UsageError(
    `--pause-limit ${quote(text)} is no number of milliseconds`,
    "from 1 to 9999999, as in --pause-limit 5000",
  );
}
