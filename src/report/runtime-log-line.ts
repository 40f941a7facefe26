/** How runc and crun write an error to the file that `--log` names. Pure. */

/**
 * The file that the word after `--log` stands for, or undefined where there is none: crun knows `file:PATH`, and
 * `syslog:ID` and `journald:ID`, which are not files.
 */
export function logFile(runtime: string, word: string | undefined): string | undefined {
  if (word === undefined || word === "") return undefined;
  if (runtime !== "crun") return word;
  if (word.startsWith("syslog:") || word.startsWith("journald:")) return undefined;
  return word.startsWith("file:") ? word.slice("file:".length) : word;
}

/** A line, without its end. `format` is what `--log-format` says; absent it is text, which is each runtime's own. */
export function formatLogLine(
  runtime: string,
  format: string | undefined,
  message: string,
  date: Date,
): string {
  const precise = date.toISOString();
  if (runtime === "crun") {
    const time = precise.replace("Z", "000Z");
    return format === "json" ? JSON.stringify({ msg: message, level: "error", time }) : message;
  }
  const time = precise.replace(/\.[0-9]+Z$/, "Z");
  if (format === "json") return JSON.stringify({ level: "error", msg: message, time });
  return `time=${JSON.stringify(time)} level=error msg=${JSON.stringify(message)}`;
}
