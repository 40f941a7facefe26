/** Reports a hook's error when the runtime discards the hook's stderr, as crun does. */
import { formatError } from "../errors.ts";
import { writeAll } from "../sys/fd.ts";
import { S_IFCHR } from "../sys/flags.ts";
import { borrowFromParent } from "../sys/process.ts";
import { fstat, isType } from "../sys/stat.ts";

/** Runs a hook. Writes its error also to the stderr of the runtime that started it, then rethrows it. */
export function reportingToParent(hook: () => void): void {
  try {
    hook();
  } catch (error) {
    reportToParent(`veneer: ${formatError(error)}\n`);
    throw error;
  }
}

/** Does nothing unless our own stderr is /dev/null. */
function reportToParent(line: string): void {
  try {
    const own = fstat(2);
    if (!isType(own, S_IFCHR) || own.rdevMajor !== 1 || own.rdevMinor !== 3) return;
    // not opened by a path, because it may be a socket
    using stderr = borrowFromParent(2);
    if (!stderr) return;
    writeAll(stderr.number, new TextEncoder().encode(line), "stderr of the runtime");
  } catch {
    // the exit status still shows that the hook failed
  }
}
