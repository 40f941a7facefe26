/** The options and messages of commands that copy running containers. */
import { UsageError } from "../../errors.ts";
import type { CopySource } from "../../instances/clone.ts";
import { PAUSE_LIMIT } from "../../live/pause.ts";
import type { RunningSource } from "../../snapshot/running-source.ts";
import type { Context, Input, Option } from "../framework/command.ts";
import { PAUSE_OPTION, pauseLimitOf } from "./pause-option.ts";

export const LIVE_OPTIONS: readonly Option[] = [
  { name: "--live", help: "though it is in use: stop what runs on it for a moment, and copy that moment" },
  PAUSE_OPTION,
];

/** The longest pause in milliseconds; undefined without --live. Throws UsageError. */
export function liveLimit(input: Input): number | undefined {
  const limit = pauseLimitOf(input);
  if (input.has("--live")) return limit ?? PAUSE_LIMIT;
  if (limit === undefined) return undefined;
  throw new UsageError("--pause-limit is for --live", "give both, or neither");
}

/** Prints a note that says how long the copied container was paused. */
export function noteCopied(context: Context, source: CopySource | RunningSource): void {
  const report = "report" in source ? source.report() : undefined;
  if (!report) return;
  const { pause, stopped } = report;
  const how = stopped > 0 ? `, ${stopped} of its processes stopped by SIGSTOP` : "";
  context.note(`veneer: ${source.id} was paused for ${pause.toFixed(1)} ms${how}`);
}
