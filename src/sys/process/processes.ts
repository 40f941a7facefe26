/** What runs on this machine (proc(5)). Not for the hot path. */
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

/** `mnt:[4026531841]`; undefined when the process is gone. */
export function namespaceOf(pid: number, kind: "mnt" | "pid" | "user"): string | undefined {
  return gone(() => readlink(`/proc/${pid}/ns/${kind}`));
}

/** Names of the threads of a process, none when it is gone. */
export function threadsOf(pid: number): string[] {
  return gone(() => list(`/proc/${pid}/task`)) ?? [];
}

/** The letter of a thread's state (proc_pid_stat(5)): `T` is stopped; undefined when it is gone. */
export function stateOf(pid: number, thread: string): string | undefined {
  const text = gone(() => readText(`/proc/${pid}/task/${thread}/stat`));
  return text?.[text.lastIndexOf(")") + 2];
}

/** The name of its program; empty when the process is gone. Its command line is in its memory, which may not answer. */
export function nameOf(pid: number): string {
  return gone(() => readText(`/proc/${pid}/comm`))?.trim() ?? "";
}

/** Runs `action` on files below /proc/PID; undefined when the process is gone. */
export function gone<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    // EINVAL: the mounts of one that is ending
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EINVAL")) return undefined;
    throw error;
  }
}

/** Sends a signal to the very process, through a descriptor of it; returns whether it was there to get it. */
export function signalProcess(process: ProcessIdentity, signal: number): boolean {
  const result = syscall(SYS.pidfd_open, process.pid, 0);
  if (result < 0) return false;
  using pidfd = new Fd(result);
  // the descriptor holds the process: if it is the right one now, it is the right one below
  if (identify(process.pid)?.startTime !== process.startTime) return false;
  return syscall(SYS.pidfd_send_signal, pidfd.number, signal, null, 0) === 0;
}
