/** The log that an engine gives a runtime with --log, where it looks for the reason of a failure. */
import { formatError } from "./errors.ts";
import type { RuntimeCall } from "./input/runtime-args.ts";
import { openat, writeAll } from "./sys/fd.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_WRONLY } from "./sys/flags.ts";

/** Appends the error in the format that runc and crun write. A log that cannot be written is left alone. */
export function reportToRuntimeLog(call: RuntimeCall, error: unknown): void {
  if (call.log === undefined || call.log === "") return;
  const message = `veneer: ${formatError(error)}`;
  const time = new Date().toISOString().replace(/\.[0-9]+Z$/, "Z");
  const line =
    call.logFormat === "json"
      ? JSON.stringify({ level: "error", msg: message, time })
      : `time=${JSON.stringify(time)} level=error msg=${JSON.stringify(message)}`;
  try {
    using fd = openat(AT_FDCWD, call.log, O_WRONLY | O_APPEND | O_CREAT, 0o644);
    writeAll(fd.number, new TextEncoder().encode(`${line}\n`), call.log);
  } catch {
    // the error itself still goes to stderr
  }
}
