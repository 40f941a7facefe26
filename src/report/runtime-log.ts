/** The log that an engine gives a runtime with --log, where it looks for the reason of a failure. */
import { formatError } from "../errors.ts";
import type { RuntimeCall } from "../request/runtime-args.ts";
import { openat, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_WRONLY } from "../sys/flags.ts";
import { formatLogLine, logFile } from "./runtime-log-line.ts";

/** Appends the error in the format that the real runtime writes. A log that cannot be written is left alone. */
export function reportToRuntimeLog(real: string, call: RuntimeCall, error: unknown): void {
  const path = logFile(real, call.log);
  if (path === undefined) return;
  const line = formatLogLine(real, call.logFormat, `veneer: ${formatError(error)}`, new Date());
  try {
    using fd = openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0o644);
    writeAll(fd.number, new TextEncoder().encode(`${line}\n`), path);
  } catch {
    // the error itself still goes to stderr
  }
}
