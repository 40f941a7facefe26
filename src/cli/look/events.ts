import { parseAge } from "../../bases/age.ts";
import { UsageError, VeneerError } from "../../errors.ts";
import { runProgram } from "../../process/run-program.ts";
import { JOURNAL } from "../../report/event-log.ts";
import { lstatMaybe } from "../../sys/stat.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Input } from "../framework/command.ts";

export const command: Command = {
  name: "events",
  summary: "Show what happened: starts, ends, changes and failures",
  operands: [],
  options: [
    { name: "--since", value: "TIME", help: "only later events: 30m, 12h, 7d, or 2026-01-31T12:00" },
    { name: "--follow", short: "-f", help: "keep printing new events until a signal arrives" },
  ],
  description: `
Prints the log that "log" in the configuration names, one line for each event: the start or the end of a container, a verb that
changed bases or instances with its exit status, each member that a rollout moved, a failure. A line begins with its time; with "logFormat": "json", and
from the journal, it is a JSON object.`,
  examples: ["veneer events --since 1h", "veneer events --follow"],
  async run(context, input) {
    const { log } = context.settings.config;
    if (log === undefined) {
      throw new VeneerError("NO_LOG", "no log is kept", {
        hint: `write {"log": "journal"}, or the path of a file, into ${context.configFile}`,
      });
    }
    const since = readSince(input);
    const follow = input.has("--follow");
    if (log !== JOURNAL && !follow && !lstatMaybe(log)) return;
    const [program, args] = log === JOURNAL ? journalCommand(since, follow) : fileCommand(log, follow);
    const show = (line: string) => {
      if (since === undefined || log === JOURNAL || timeOf(line) >= since) context.out(line);
    };
    try {
      await runProgram(program, args, { line: show });
    } catch (error) {
      if (!(follow && error instanceof VeneerError && error.code === "INTERRUPTED")) throw error;
    }
  },
};

function journalCommand(since: number | undefined, follow: boolean): [string, string[]] {
  const from = since === undefined ? [] : [`--since=@${Math.floor(since / 1000)}`];
  return ["journalctl", ["-q", "-t", "veneer", "-o", "cat", ...from, ...(follow ? ["-f", "-n", "all"] : [])]];
}

/** tail -F follows the log when logrotate replaces it, and waits for a log that does not exist yet (tail(1)). */
function fileCommand(log: string, follow: boolean): [string, string[]] {
  return follow ? ["tail", ["-n", "+1", "-q", "-F", "--", log]] : ["cat", ["--", log]];
}

/** The time of a line in milliseconds since 1970; infinity for a line without a time, so that it is kept. */
function timeOf(line: string): number {
  const text = /^(?:\{"time":")?([0-9-]{10}T[0-9:.]+Z)/.exec(line)?.[1];
  return text === undefined ? Number.POSITIVE_INFINITY : Date.parse(text);
}

/** The value of --since in milliseconds since 1970; undefined when it is not given. Throws UsageError. */
function readSince(input: Input): number | undefined {
  const text = input.value("--since");
  if (text === undefined) return undefined;
  if (/^[0-9]+[smhdw]$/.test(text)) return Date.now() - parseAge(text);
  const time = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9:]+)?)?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new UsageError(`time ${quote(text)} is not valid`, "write 30m, 12h, 7d, or 2026-01-31T12:00");
}
