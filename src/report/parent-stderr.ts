/** Where a hook's error goes when the runtime throws its stderr away, as crun does. */
import { formatError } from "../errors.ts";
import { Fd, writeAll } from "../sys/fd.ts";
import { S_IFCHR } from "../sys/flags.ts";
import { check, syscall } from "../sys/libc.ts";
import { SYS } from "../sys/numbers.ts";
import { getppid } from "../sys/self.ts";
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
    // pidfd_getfd(2): it may be a socket, which has no path to open
    using parent = new Fd(check(syscall(SYS.pidfd_open, getppid(), 0), "pidfd_open"));
    using stderr = new Fd(check(syscall(SYS.pidfd_getfd, parent.number, 2, 0), "pidfd_getfd"));
    writeAll(stderr.number, new TextEncoder().encode(line), "stderr of the runtime");
  } catch {
    // it may have none, or not let us: the exit status still says that the hook failed
  }
}
