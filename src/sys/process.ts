/** Identifies a process by its pid and start time (proc_pid_stat(5), field 22), because pids alone are reused. */
import { errno, isErrno } from "./errno.ts";
import { Fd, readText } from "./fd.ts";
import { syscall } from "./libc.ts";
import { parseMountinfo, readMountinfo } from "./mountinfo.ts";
import { SYS } from "./numbers.ts";
import { canRead } from "./process/poll.ts";
import { getpid } from "./self.ts";
import { inUserNamespace } from "./user-namespace.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** in clock ticks since boot */
  readonly startTime: number;
}

/**
 * The identity of a process, with its pid in the mounted /proc; undefined when it is gone, a zombie, or one that /proc
 * does not show to this process ({@link lifeOf}).
 */
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
    // EPERM: hidepid=noaccess
    if (isErrno(error, "ESRCH", "EPERM", "EACCES")) return undefined;
    throw error;
  }
}

/** The fields after the command, which stands in parentheses and may itself contain spaces and parentheses. */
function behindName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Whether this very process is known to be still alive, not another with its pid. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/**
 * Whether this very process is still alive. `hidden`: a process with this pid exists, but /proc does not show it to this
 * process, so that it may be this one or another (hidepid in proc(5)). Whoever cleans up leaves alone what is hidden.
 */
export function lifeOf(process: ProcessIdentity): "alive" | "gone" | "hidden" {
  if (isAlive(process)) return "alive";
  return mayExist(process.pid) ? "hidden" : "gone";
}

/** Bit of capabilities(7) */
const CAP_SYS_PTRACE = 19n;

let hides: boolean | undefined;

/**
 * Whether /proc may hide processes from this one (hidepid in proc(5)): all but those with fewer rights, unless this process
 * has CAP_SYS_PTRACE, or is in the group that is exempt. To root of a user namespace all are hidden that are outside of it.
 * The answer is cached.
 */
export function hidesProcesses(): boolean {
  hides ??= !isShown(1) || hidesBy(procOptions());
  return hides;
}

function procOptions(): string {
  const mounts = parseMountinfo(readMountinfo("self") ?? "");
  return mounts.findLast(({ target, type }) => target === "/proc" && type === "proc")?.superOptions ?? "";
}

function hidesBy(options: string): boolean {
  return /(?:^|,)hidepid=(?!0|off)/.test(options) && !seesAll(options);
}

function seesAll(options: string): boolean {
  const status = readText("/proc/self/status") ?? "";
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  if (!inUserNamespace() && (BigInt(`0x${capabilities}`) >> CAP_SYS_PTRACE) & 1n) return true;
  const groups = /^Groups:(.*)$/m.exec(status)?.[1]?.trim().split(/\s+/) ?? [];
  const exempt = /(?:^|,)gid=([0-9]+)/.exec(options)?.[1];
  return exempt !== undefined && groups.includes(exempt);
}

function isShown(pid: number): boolean {
  return readStat(pid) !== undefined;
}

/**
 * Whether a process that /proc does not show may exist, hidden from this one. No permission is needed to ask
 * (pidfd_open(2)).
 */
export function mayExist(pid: number): boolean {
  if (isShown(pid) || !hidesProcesses()) return false;
  // pids of the mounted /proc are not those of this pid namespace: nobody can be asked
  if (identifySelf().pid !== getpid()) return true;
  const result = syscall(SYS.pidfd_open, pid, 0);
  if (result < 0) return !GONE.includes(-result);
  using pidfd = new Fd(result);
  return !canRead(pidfd, 0);
}

/** pidfd_open(2): there is none, or it is a thread and not a process */
const GONE = [errno.ESRCH, errno.EINVAL, errno.ENOENT] as readonly (number | undefined)[];

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
