/** The format in which runc and crun write errors to the file that `--log` names. Pure. */

/**
 * The file that the value of `--log` names; undefined where it names none. crun accepts `file:PATH`, and also
 * `syslog:ID` and `journald:ID`, which are not files.
 */
export function logFile(runtime: string, word: string | undefined): string | undefined {
  if (word === undefined || word === "") return undefined;
  if (runtime !== "crun") return word;
  if (word.startsWith("syslog:") || word.startsWith("journald:")) return undefined;
  return word.startsWith("file:") ? word.slice("file:".length) : word;
}

/** A line without the newline. `format` is the value of `--log-format`; absent means text, which differs by runtime. */
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
