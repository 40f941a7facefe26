/** Who a process is: a pid is reused, a pid with its start time is not (proc_pid_stat(5), field 22). */
import { isErrno } from "./errno.ts";
import { readlink, readText } from "./fd.ts";
import { syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** clock ticks after boot */
  readonly startTime: number;
}

/** The identity of a live process; undefined when it is gone or a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  let text: string | undefined;
  try {
    text = readText(`/proc/${pid}/stat`);
  } catch (error) {
    if (isErrno(error, "ESRCH")) return undefined;
    throw error;
  }
  if (text === undefined) return undefined;
  // the command, in parentheses, may itself hold spaces and parentheses
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  return state === "Z" || state === "X" ? undefined : { pid, startTime: Number(fields[19]) };
}

/** Whether the very process is still there. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/** This process as the mounted /proc counts: in a pid namespace getpid(2) gives another number. */
export function identifySelf(): ProcessIdentity {
  const pid = Number(readlink("/proc/self"));
  const self = Number.isInteger(pid) ? identify(pid) : undefined;
  if (!self) throw new Error("cannot read /proc/self/stat; hint: mount proc on /proc");
  return self;
}

export function geteuid(): number {
  return syscall(SYS.geteuid);
}
