import { errno } from "../errno.ts";
import { Fd } from "../fd.ts";
import { nulTerminated } from "../files/cstring.ts";
import { O_CLOEXEC } from "../flags.ts";
import { addressOf, check, cstring, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

const SIGCHLD = 17;
const F_SETFD = 2;

/** fork(2): returns 0 in the child and the child's pid in the parent. */
export function fork(): number {
  return check(syscall(SYS.clone, SIGCHLD, 0, 0, 0, 0), "fork");
}

/** Ends this process at once: `using` scopes and `finally` blocks do not run, and nothing is flushed. */
export function exit(status: number): never {
  syscall(SYS.exit_group, status);
  throw new Error("unreachable");
}

/**
 * A NULL-terminated array of addresses of NUL-terminated strings, as execve(2) takes it. The addresses point into
 * `kept`, which must stay reachable as long as the array is used, for example in a local variable.
 */
function stringArray(strings: readonly (string | Uint8Array)[]): {
  readonly array: BigUint64Array;
  readonly kept: readonly Uint8Array[];
} {
  const kept = strings.map((text) => nulTerminated(text));
  return { array: new BigUint64Array([...kept.map(addressOf), 0n]), kept };
}

/**
 * execve(2): returns only when it fails, with -errno. `env` has NAME=VALUE entries. The program inherits descriptors
 * without O_CLOEXEC, limits, signal mask, ignored signals, umask and working directory.
 */
export function execve(
  path: string,
  argv: readonly (string | Uint8Array)[],
  env: readonly (string | Uint8Array)[],
): number {
  const words = stringArray(argv);
  const variables = stringArray(env);
  return syscall(SYS.execve, cstring(path), words.array, variables.array);
}

/** pipe2(2), with O_CLOEXEC on both ends. */
export function pipe(): { readonly read: Fd; readonly write: Fd } {
  const ends = new Int32Array(2);
  check(syscall(SYS.pipe2, ends, O_CLOEXEC), "pipe2");
  return { read: new Fd(ends[0] as number), write: new Fd(ends[1] as number) };
}

/** Waits for a child. Returns its status as a shell does: the exit status, or 128 plus the number of the signal. */
export function waitFor(pid: number): number {
  const status = new Int32Array(1);
  for (;;) {
    const result = syscall(SYS.wait4, pid, status, 0, null);
    if (result === -(errno.EINTR as number)) continue;
    check(result, "wait4", `process ${pid}`);
    return shellStatus(status[0] as number);
  }
}

/** Converts a wait status (wait(2)) to a shell's: the exit status, or 128 plus the number of the signal. */
export function shellStatus(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/** Like dup2(2), but `to` stays open across execve(2) even when it equals `from`. */
export function duplicateTo(from: number, to: number): void {
  if (from === to) check(syscall(SYS.fcntl, to, F_SETFD, 0), "fcntl");
  else check(syscall(SYS.dup3, from, to, 0), "dup3");
}
