/** Who a process is: a pid is reused, a pid with its start time is not (proc_pid_stat(5), field 22). */
import { isErrno } from "./errno.ts";
import { Fd, readText } from "./fd.ts";
import { syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** clock ticks after boot */
  readonly startTime: number;
}

/** The identity of a live process; undefined when it is gone or a zombie. `self`: as the mounted /proc counts. */
export function identify(process: number | "self"): ProcessIdentity | undefined {
  const text = readStat(process);
  if (text === undefined) return undefined;
  const [state, ...fields] = behindName(text);
  const pid = process === "self" ? Number.parseInt(text, 10) : process;
  return state === "Z" || state === "X" ? undefined : { pid, startTime: Number(fields[18]) };
}

function readStat(process: number | "self"): string | undefined {
  try {
    return readText(`/proc/${process}/stat`);
  } catch (error) {
    if (isErrno(error, "ESRCH")) return undefined;
    throw error;
  }
}

/** The fields from the third on: the command before it, in parentheses, may itself hold spaces and parentheses. */
function behindName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Whether the very process is still there. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/** This process as the mounted /proc counts: in a pid namespace getpid(2) gives another number. */
export function identifySelf(): ProcessIdentity {
  const self = identify("self");
  if (!self) throw new Error("cannot read /proc/self/stat; hint: mount proc on /proc");
  return self;
}

/** The parent as the mounted /proc counts; undefined when it is gone. */
export function identifyParent(): ProcessIdentity | undefined {
  const pid = parentOf("self");
  return pid === undefined ? undefined : identify(pid);
}

/** The parent's pid; undefined for a process that is gone or has none. */
export function parentOf(pid: number | "self"): number | undefined {
  const parent = Number(behindName(readStat(pid) ?? "")[1] ?? "0");
  return parent > 0 ? parent : undefined;
}

/**
 * A second descriptor of a file that the parent has open (pidfd_getfd(2), Linux 5.6): both share the position.
 * Undefined where the parent has no such descriptor or may not be looked into.
 */
export function borrowFromParent(number: number): Fd | undefined {
  // getppid(2) counts as pidfd_open(2) does, whatever /proc is mounted
  const pidfd = syscall(SYS.pidfd_open, syscall(SYS.getppid), 0);
  if (pidfd < 0) return undefined;
  using parent = new Fd(pidfd);
  const result = syscall(SYS.pidfd_getfd, parent.number, number, 0);
  return result < 0 ? undefined : new Fd(result);
}

export function getuid(): number {
  return syscall(SYS.getuid);
}

export function geteuid(): number {
  return syscall(SYS.geteuid);
}

/** SIGKILL for a process whose pid cannot be another's meanwhile: a child, or one that is traced (ptrace(2)). */
export function killProcess(pid: number): void {
  syscall(SYS.kill, pid, SIGKILL);
}

const SIGKILL = 9;
