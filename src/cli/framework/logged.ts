/** The log's line of a verb that makes a change. */
import { exitStatus } from "../../errors.ts";
import { logEvent } from "../../report/event-log.ts";
import type { Command, Context, Input } from "./command.ts";

/** To be called with the status of a verb, or with what it threw. */
export function logVerb(
  command: Command,
  context: Context,
  input: Input,
  end: { status: number } | { error: unknown },
) {
  if (!command.changes || input.has("--dry-run")) return;
  const failure = "error" in end ? { error: end.error, status: exitStatus(end.error) } : end;
  logEvent(context.settings.config, { event: command.name, arguments: input.operands.join(" "), ...failure });
}
