/** Signals kept from ending this process in the middle of what must not be left half done. */
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

/** HUP, INT, QUIT, PIPE, TERM, TSTP, TTIN, TTOU (signal(7); the same numbers on x86-64 and arm64) */
const HELD_OFF = [1, 2, 3, 13, 15, 20, 21, 22];
const SIGNAL_SET_SIZE = 8;

/**
 * Ignores the signals by which people and service managers end or stop a program, until it is disposed: then
 * each has the disposition of before. What comes in between is lost, so keep it short.
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
 * From now on a write to a pipe that nobody reads fails (EPIPE) where it would have ended the process. For what must undo
 * its work then; programs that are executed later inherit it.
 */
export function ignoreBrokenPipes(): void {
  const ignore = new BigUint64Array([1n, 0n, 0n, 0n]);
  check(syscall(SYS.rt_sigaction, SIGPIPE, ignore, null, SIGNAL_SET_SIZE), "rt_sigaction");
}

/** In a child that becomes another program: what {@link ignoreBrokenPipes} changed is as it is for programs. */
export function restoreBrokenPipes(): void {
  syscall(SYS.rt_sigaction, SIGPIPE, new BigUint64Array(4), null, SIGNAL_SET_SIZE);
}

const SIG_SETMASK = 2;

/** In a child that becomes another program of ours: no signal stays blocked. */
export function unblockSignals(): void {
  syscall(SYS.rt_sigprocmask, SIG_SETMASK, new BigUint64Array(1), null, SIGNAL_SET_SIZE);
}

const SIGPIPE = 13;
export const SIGSTOP = 19;
export const SIGCONT = 18;
