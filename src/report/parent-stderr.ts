/** Where a hook's error goes when the runtime throws its stderr away, as crun does. */
import { formatError } from "../errors.ts";
import { writeAll } from "../sys/fd.ts";
import { S_IFCHR } from "../sys/flags.ts";
import { borrowFromParent } from "../sys/process.ts";
import { fstat, isType } from "../sys/stat.ts";

/** Runs a hook; what it throws is also written to the stderr of the runtime that started it, and thrown on. */
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
    // it may be a socket, which has no path to open
    using stderr = borrowFromParent(2);
    if (!stderr) return;
    writeAll(stderr.number, new TextEncoder().encode(line), "stderr of the runtime");
  } catch {
    // it may have none, or not let us: the exit status still says that the hook failed
  }
}
