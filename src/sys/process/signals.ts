/** Keeps signals from ending this process in the middle of work that must be completed. */
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

/** HUP, INT, QUIT, PIPE, TERM, TSTP, TTIN, TTOU (signal(7); the same numbers on x86-64 and arm64) */
const HELD_OFF = [1, 2, 3, 13, 15, 20, 21, 22];
const SIGNAL_SET_SIZE = 8;

/**
 * Ignores the signals with which people and service managers end or stop a program, until it is disposed, which
 * restores their dispositions. Signals that arrive in between are lost, so keep the scope short.
 */
export function ignoreSignals(): Disposable {
  const ignore = new BigUint64Array([1n, 0n, 0n, 0n]);
  const before = HELD_OFF.map((signal) => {
    const old = new BigUint64Array(4);
    check(syscall(SYS.rt_sigaction, signal, ignore, old, SIGNAL_SET_SIZE), "rt_sigaction");
    return [signal, old] as const;
  });
  return {
    [Symbol.dispose]() {
      for (const [signal, old] of before) syscall(SYS.rt_sigaction, signal, old, null, SIGNAL_SET_SIZE);
    },
  };
}

/**
 * From now on, writing to a pipe without a reader fails with EPIPE instead of ending the process, so that the caller
 * can undo its work. Programs that are executed later inherit this.
 */
export function ignoreBrokenPipes(): void {
  const ignore = new BigUint64Array([1n, 0n, 0n, 0n]);
  check(syscall(SYS.rt_sigaction, SIGPIPE, ignore, null, SIGNAL_SET_SIZE), "rt_sigaction");
}

/** Reverts {@link ignoreBrokenPipes} in a child before it executes another program. */
export function restoreBrokenPipes(): void {
  syscall(SYS.rt_sigaction, SIGPIPE, new BigUint64Array(4), null, SIGNAL_SET_SIZE);
}

const SIG_SETMASK = 2;

/** Unblocks all signals in a child before it executes another program. */
export function unblockSignals(): void {
  syscall(SYS.rt_sigprocmask, SIG_SETMASK, new BigUint64Array(1), null, SIGNAL_SET_SIZE);
}

const SIGPIPE = 13;
export const SIGSTOP = 19;
export const SIGCONT = 18;
