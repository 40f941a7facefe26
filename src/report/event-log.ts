/** The administrator's log: one line for each start and each failure in what engines call. */
import { describeError, formatError } from "../errors.ts";
import type { Config } from "../request/config.ts";
import { openat, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } from "../sys/flags.ts";
import { quote } from "../text/quote.ts";

export interface LogEvent {
  readonly event: "start" | "error";
  readonly engine?: string;
  readonly container?: string | undefined;
  readonly instance?: string | undefined;
  readonly base?: string;
  readonly error?: unknown;
}

/** Appends a line when a log is configured. A log that cannot be written never fails a start. */
export function logEvent(config: Config | undefined, { error, ...fields }: LogEvent): void {
  if (config?.log === undefined) return;
  const entry = {
    time: new Date().toISOString(),
    ...fields,
    ...(error !== undefined && { message: formatError(error), code: describeError(error).code }),
  };
  const line = config.logFormat === "json" ? JSON.stringify(entry) : textLine(entry);
  try {
    using fd = openat(AT_FDCWD, config.log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    writeAll(fd.number, new TextEncoder().encode(`${line}\n`), config.log);
  } catch {
    // the error itself still reaches the engine on stderr
  }
}

function textLine({ time, event, ...fields }: Record<string, unknown>): string {
  const rest = Object.entries(fields).filter(([, value]) => value !== undefined);
  return [time, event, ...rest.map(([key, value]) => `${key}=${quote(String(value))}`)].join(" ");
}
