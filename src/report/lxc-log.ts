/** Reports errors where users of LXC look for them, because LXC logs the output of hooks only at level DEBUG. */
import { formatError } from "../errors.ts";
import type { LxcEnvironment } from "../request/lxc-hook.ts";
import { type Fd, readText, writeAll } from "../sys/fd.ts";
import { O_APPEND, O_CLOEXEC, O_WRONLY, S_IFREG } from "../sys/flags.ts";
import { borrowFromParent, identifyParent } from "../sys/process.ts";
import { fstat, isType, list } from "../sys/stat.ts";
import { displayName } from "../text/names.ts";

/**
 * Runs a hook. When it fails and LXC called it, writes the error to LXC's log, as an ERROR line in LXC's format, and to
 * the stderr of lxc-start in the foreground; then rethrows it.
 */
export function reportingToLxc(env: LxcEnvironment, hook: () => void): void {
  try {
    hook();
  } catch (error) {
    if (env.LXC_NAME !== undefined && env.LXC_HOOK_VERSION !== undefined) report(env.LXC_NAME, error);
    throw error;
  }
}

/** Ignores failures: the error goes to this process's stderr in any case. */
function report(container: string, error: unknown): void {
  const text = formatError(error);
  const parent = identifyParent();
  if (!parent) return;
  try {
    write(2, `veneer: ${text}\n`);
    for (const name of list(`/proc/${parent.pid}/fdinfo`)) {
      if (isLog(readText(`/proc/${parent.pid}/fdinfo/${name}`))) {
        write(
          Number(name),
          `veneer ${displayName(container)} ${timestamp(new Date())} ERROR    veneer - ${text}\n`,
        );
      }
    }
  } catch {
    // LXC's own lines still name the hook that failed
  }
}

/** Writes through the parent's own open file, whose position both share, so that neither overwrites the other. */
function write(number: number, line: string): void {
  using file: Fd | undefined = borrowFromParent(number);
  if (!file || (number !== 2 && !isType(fstat(file.number), S_IFREG))) return;
  writeAll(file.number, new TextEncoder().encode(line), `descriptor ${number} of LXC`);
}

/** LXC's log is the file that it has open with O_APPEND and O_CLOEXEC. */
function isLog(fdinfo: string | undefined): boolean {
  const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(fdinfo ?? "")?.[1] ?? "0", 8);
  const wanted = O_WRONLY | O_APPEND | O_CLOEXEC;
  return (flags & wanted) === wanted;
}

/** In LXC's format: YYYYMMDDhhmmss.mmm, UTC. */
function timestamp(now: Date): string {
  return now.toISOString().replace(/[-:TZ]/g, "");
}
