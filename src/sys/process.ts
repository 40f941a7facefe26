/** Identifies a process by its pid and start time (proc_pid_stat(5), field 22), because pids alone are reused. */
import { isErrno } from "./errno.ts";
import { Fd, readText } from "./fd.ts";
import { syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** in clock ticks since boot */
  readonly startTime: number;
}

/** The identity of a process, with its pid in the mounted /proc; undefined when it is gone or a zombie. */
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

/** The fields after the command, which stands in parentheses and may itself contain spaces and parentheses. */
function behindName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Whether this very process is still alive, not another with its pid. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/** This process, with its pid in the mounted /proc: in a pid namespace getpid(2) may return another one. */
export function identifySelf(): ProcessIdentity {
  const self = identify("self");
  if (!self) throw new Error("cannot read /proc/self/stat; hint: mount proc on /proc");
  return self;
}

/** The parent, with its pid in the mounted /proc; undefined when it is gone. */
export function identifyParent(): ProcessIdentity | undefined {
  const pid = parentOf("self");
  return pid === undefined ? undefined : identify(pid);
}

/** The parent's pid; undefined for a process that is gone or has no parent here. */
export function parentOf(pid: number | "self"): number | undefined {
  const parent = Number(behindName(readStat(pid) ?? "")[1] ?? "0");
  return parent > 0 ? parent : undefined;
}

/**
 * Duplicates a descriptor of the parent process (pidfd_getfd(2), Linux 5.6); both share the file position. Undefined
 * where the parent has no such descriptor or this process may not inspect the parent.
 */
export function borrowFromParent(number: number): Fd | undefined {
  // getppid(2) and pidfd_open(2) use the same pid namespace, whatever /proc is mounted
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

/** Sends SIGKILL to a process whose pid cannot be reused in the meantime: a child, or a traced process (ptrace(2)). */
export function killProcess(pid: number): void {
  syscall(SYS.kill, pid, SIGKILL);
}

const SIGKILL = 9;
