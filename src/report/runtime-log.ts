/** The log that an engine passes to a runtime with --log, from which it reads the reason of a failure. */
import { formatError } from "../errors.ts";
import type { RuntimeCall } from "../request/runtime-args.ts";
import { openat, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_WRONLY } from "../sys/flags.ts";
import { formatLogLine, logFile } from "./runtime-log-line.ts";

/** Appends an error in the format of the real runtime. Ignores a log that cannot be written. */
export function reportToRuntimeLog(real: string, call: RuntimeCall, error: unknown): void {
  const path = logFile(real, call.log);
  if (path === undefined) return;
  const line = formatLogLine(real, call.logFormat, `veneer: ${formatError(error)}`, new Date());
  try {
    using fd = openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0o644);
    writeAll(fd.number, new TextEncoder().encode(`${line}\n`), path);
  } catch {
    // the error still goes to stderr
  }
}
