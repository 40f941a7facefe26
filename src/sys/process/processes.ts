/** The processes of this machine (proc(5)). Not for the hot path. */
import { isErrno } from "../errno.ts";
import { Fd, readlink, readText } from "../fd.ts";
import { syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { identify, type ProcessIdentity } from "../process.ts";
import { list } from "../stat.ts";

export function listPids(): number[] {
  return list("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number);
}

/** A namespace of a process, like `mnt:[4026531841]`; undefined when the process is gone. */
export function namespaceOf(pid: number, kind: "mnt" | "pid" | "user"): string | undefined {
  return gone(() => readlink(`/proc/${pid}/ns/${kind}`));
}

/** The thread ids of a process; none when it is gone. */
export function threadsOf(pid: number): string[] {
  return gone(() => list(`/proc/${pid}/task`)) ?? [];
}

/** The state of a thread as a letter (proc_pid_stat(5)), `T` when it is stopped; undefined when it is gone. */
export function stateOf(pid: number, thread: string): string | undefined {
  const text = gone(() => readText(`/proc/${pid}/task/${thread}/stat`));
  return text?.[text.lastIndexOf(")") + 2];
}

/** The name of a process (comm); empty when it is gone. Not its command line: reading that can hang. */
export function nameOf(pid: number): string {
  return gone(() => readText(`/proc/${pid}/comm`))?.trim() ?? "";
}

/** Runs `action`, which reads files below /proc/PID; undefined when the process is gone or may not be inspected. */
export function gone<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    // EPERM: hidepid=noaccess; EINVAL: reading the mounts of a process that is ending
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL")) return undefined;
    throw error;
  }
}

/** Sends a signal to this very process, through a pidfd. Returns whether the process existed and got it. */
export function signalProcess(process: ProcessIdentity, signal: number): boolean {
  const result = syscall(SYS.pidfd_open, process.pid, 0);
  if (result < 0) return false;
  using pidfd = new Fd(result);
  // a pidfd always means the same process: if it is the right one now, it is the right one below
  if (identify(process.pid)?.startTime !== process.startTime) return false;
  return syscall(SYS.pidfd_send_signal, pidfd.number, signal, null, 0) === 0;
}
