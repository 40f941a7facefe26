/**
 * Runs a child process in the foreground: it has the caller's terminal, descriptors and limits, gets its signals, and
 * its status is returned. Only for the small program, because it forks.
 */
import { errno, SysError } from "../errno.ts";
import { openatMaybe, readSome, readText } from "../fd.ts";
import { AT_FDCWD, O_NOCTTY, O_RDONLY } from "../flags.ts";
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { timespec } from "../self.ts";
import { execve, exit, fork, pipe, shellStatus } from "./fork.ts";

/** signal(7); the same numbers on x86-64 and arm64 */
const SIGHUP = 1;
const SIGINT = 2;
const SIGQUIT = 3;
const SIGKILL = 9;
const SIGUSR1 = 10;
const SIGUSR2 = 12;
const SIGTERM = 15;
const SIGCHLD = 17;
const SIGWINCH = 28;
const FORWARDED = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH];
/** The signals that a terminal sends to its whole foreground process group, so that the child has them already. */
const FROM_TERMINAL: ReadonlySet<number> = new Set([SIGINT, SIGQUIT, SIGWINCH]);

const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
const SET_SIZE = 8;
const WNOHANG = 1;

/** How to end a program that is still running a while after SIGTERM. */
export interface Limit {
  /** milliseconds */
  readonly after: number;
  /** called every `after` milliseconds until the program ends; returns false to have the program itself killed */
  readonly kill: () => boolean;
}

/**
 * Runs a program to its end and returns its exit status, or 128+N when signal N ended it. Forwards signals, except
 * those that the terminal sent to the child itself. They stay blocked afterwards, so that they cannot interrupt the
 * caller's cleanup. Throws SysError when the program cannot be started.
 */
export function runForeground(argv: readonly string[], env: readonly string[], limit?: Limit): number {
  const before = new BigUint64Array(1);
  const waited = signalSet([...FORWARDED, SIGCHLD]);
  // block them before the child exists, so that no signal is lost
  check(syscall(SYS.rt_sigprocmask, SIG_BLOCK, waited, before, SET_SIZE), "rt_sigprocmask");
  const failure = pipe();
  const pid = fork();
  if (pid === 0) {
    syscall(SYS.rt_sigprocmask, SIG_SETMASK, before, null, SET_SIZE);
    const result = execve(argv[0] as string, argv, env);
    syscall(SYS.write, failure.write.number, new Uint8Array([-result]), 1);
    exit(127);
  }
  failure.write[Symbol.dispose]();
  const why = new Uint8Array(1);
  const failed = readSome(failure.read.number, why, "pipe") > 0;
  failure.read[Symbol.dispose]();
  let time: BigInt64Array | null = null;
  for (;;) {
    const signal = syscall(SYS.rt_sigtimedwait, waited, null, time, SET_SIZE);
    if (signal === SIGCHLD) {
      const status = statusOf(pid);
      if (status === undefined) continue;
      if (failed) throw new SysError(why[0] as number, "execve", argv[0] as string);
      return status;
    }
    if (signal > 0 && !(FROM_TERMINAL.has(signal) && inTerminalForeground())) syscall(SYS.kill, pid, signal);
    if (limit && signal === SIGTERM) time = timespec(limit.after);
    if (signal === -(errno.EAGAIN as number) && limit?.kill() === false) syscall(SYS.kill, pid, SIGKILL);
  }
}

/** The exit status of a child; undefined as long as it runs or is stopped. */
function statusOf(pid: number): number | undefined {
  const status = new Int32Array(1);
  const result = syscall(SYS.wait4, pid, status, WNOHANG, null);
  if (result === 0 || result === -(errno.EINTR as number)) return undefined;
  check(result, "wait4", `process ${pid}`);
  return shellStatus(status[0] as number);
}

function signalSet(signals: readonly number[]): BigUint64Array {
  return new BigUint64Array([signals.reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n)]);
}

/** Whether this process is in the foreground process group of its terminal (proc_pid_stat(5), pgrp and tpgid). */
function inTerminalForeground(): boolean {
  try {
    using terminal = openatMaybe(AT_FDCWD, "/dev/tty", O_RDONLY | O_NOCTTY);
    if (!terminal) return false;
    const text = readText("/proc/self/stat") ?? "";
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[2] === fields[5];
  } catch {
    return false;
  }
}
