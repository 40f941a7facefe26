/** Runs commands, and writes a line to the event log for those that change something. */
import { exitStatus } from "../../errors.ts";
import { logEvent } from "../../report/event-log.ts";
import type { Command, Context, Input } from "./command.ts";

/**
 * Runs a command and logs its result. Returns its exit status, as a promise if the command does; throws what it throws.
 */
export function runLogged(command: Command, context: Context, input: Input): number | Promise<number> {
  const succeed = (result: number | undefined) => {
    const status = result ?? 0;
    logVerb(command, context, input, { status });
    return status;
  };
  const fail = (error: unknown): never => {
    logVerb(command, context, input, { error, status: exitStatus(error) });
    throw error;
  };
  let result: ReturnType<Command["run"]>;
  try {
    result = command.run(context, input);
  } catch (error) {
    return fail(error);
  }
  return typeof result === "object"
    ? (result as Promise<number | undefined>).then(succeed, fail)
    : succeed(result as number | undefined);
}

function logVerb(
  { name, changes }: Command,
  { settings }: Context,
  input: Input,
  ending: { readonly status: number; readonly error?: unknown },
): void {
  if (!changes || input.has("--dry-run")) return;
  logEvent(settings.config, { event: name, arguments: input.operands.join(" "), ...ending });
}
