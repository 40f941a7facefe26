/** The administrator's log: one line for each start, stop, change and failure. */
import { describeError, formatError } from "../errors.ts";
import type { Config } from "../request/config.ts";
import { openat, writeAll } from "../sys/fd.ts";
import { sendDatagram } from "../sys/files/socket.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } from "../sys/flags.ts";
import { quote } from "../text/quote.ts";

export interface LogEvent {
  /** `start`, `stop`, `error`, or the verb that made a change */
  readonly event: string;
  readonly engine?: string | undefined;
  readonly container?: string | undefined;
  readonly instance?: string | undefined;
  readonly base?: string;
  /** the version that a member of a rollout was on before its move */
  readonly from?: string;
  /** the rollout that moved a member, the same through interruptions: BASE@VERSION/TIME */
  readonly rollout?: string;
  /** operands of a verb */
  readonly arguments?: string;
  /** exit status of a verb */
  readonly status?: number;
  /** why a check failed; an error has its own */
  readonly message?: string;
  readonly error?: unknown;
}

/** Where events go, and the format of lines in a file. */
export type Log = Pick<Config, "log" | "logFormat">;

/** The value of `log` that means systemd's journal. */
export const JOURNAL = "journal";
const JOURNAL_SOCKET = "/run/systemd/journal/socket";

/** Appends a line when a log is configured. Never throws: a failing log must not fail the operation. */
export function logEvent(config: Log | undefined, { error, ...fields }: LogEvent): void {
  if (config?.log === undefined) return;
  const entry = {
    time: new Date().toISOString(),
    ...fields,
    ...(error !== undefined && { message: formatError(error), code: describeError(error).code }),
  };
  try {
    if (config.log === JOURNAL) sendDatagram(JOURNAL_SOCKET, journalEntry(entry));
    else append(config.log, config.logFormat === "json" ? JSON.stringify(entry) : textLine(entry));
  } catch {
    // the caller still gets the error itself on stderr
  }
}

/** Logs the stop of a container. */
export function logStop(
  config: Log | undefined,
  { engine, container, instance }: Pick<LogEvent, "engine" | "container" | "instance">,
): void {
  logEvent(config, { event: "stop", engine, container, instance });
}

function append(path: string, line: string): void {
  using fd = openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  writeAll(fd.number, new TextEncoder().encode(`${line}\n`), path);
}

function textLine({ time, event, ...fields }: Record<string, unknown>): string {
  return [
    time,
    String(event).replace(" ", "-"),
    ...given(fields).map(([key, value]) => `${key}=${quote(value)}`),
  ].join(" ");
}

/**
 * A message in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): the whole event as JSON in MESSAGE,
 * and each field separately. Values contain no newline, since that would begin another field.
 */
export function journalEntry(entry: Record<string, unknown>): string {
  const priority = entry.message === undefined ? 6 : 3;
  const own = given(entry).filter(([key]) => key !== "time");
  return [
    `MESSAGE=${JSON.stringify(entry)}`,
    `PRIORITY=${priority}`,
    "SYSLOG_IDENTIFIER=veneer",
    ...own.map(([key, value]) => `VENEER_${key.toUpperCase()}=${value.replace(/[^ -\uffff]/g, " ")}`),
    "",
  ].join("\n");
}

function given(fields: Record<string, unknown>): [string, string][] {
  return Object.entries(fields).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, String(value)]],
  );
}
