import { errno } from "../errno.ts";
import { Fd } from "../fd.ts";
import { nulTerminated } from "../files/cstring.ts";
import { O_CLOEXEC } from "../flags.ts";
import { addressOf, check, cstring, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

const SIGCHLD = 17;
const F_SETFD = 2;

/** 0 in the child, its pid in the parent. Memory, descriptors and dispositions are copied. */
export function fork(): number {
  return check(syscall(SYS.clone, SIGCHLD, 0, 0, 0, 0), "fork");
}

/** Ends this process at once; open scopes are not left, and nothing is flushed. */
export function exit(status: number): never {
  syscall(SYS.exit_group, status);
  throw new Error("unreachable");
}

/**
 * A NULL-terminated array of addresses of NUL-terminated strings, as execve(2) takes them. `kept` is what the addresses
 * point into: it must stay reachable as long as the array is used, as by a local variable of the caller.
 */
function stringArray(strings: readonly (string | Uint8Array)[]): {
  readonly array: BigUint64Array;
  readonly kept: readonly Uint8Array[];
} {
  const kept = strings.map((text) => nulTerminated(text));
  return { array: new BigUint64Array([...kept.map(addressOf), 0n]), kept };
}

/**
 * execve(2): only comes back when it fails, with -errno. `env` is NAME=VALUE each. Descriptors without O_CLOEXEC, limits,
 * signal mask, ignored signals, umask and working directory go on as they are.
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

/** Both ends close themselves when another program is executed (O_CLOEXEC). */
export function pipe(): { readonly read: Fd; readonly write: Fd } {
  const ends = new Int32Array(2);
  check(syscall(SYS.pipe2, ends, O_CLOEXEC), "pipe2");
  return { read: new Fd(ends[0] as number), write: new Fd(ends[1] as number) };
}

/** How a child ended, as a shell says it: its exit status, or 128 and the number of the signal. */
export function waitFor(pid: number): number {
  const status = new Int32Array(1);
  for (;;) {
    const result = syscall(SYS.wait4, pid, status, 0, null);
    if (result === -(errno.EINTR as number)) continue;
    check(result, "wait4", `process ${pid}`);
    return shellStatus(status[0] as number);
  }
}

/** Of a wait status (wait(2)). */
export function shellStatus(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/** dup2(2): `to` stays open when another program is executed, also when it is the same. */
export function duplicateTo(from: number, to: number): void {
  if (from === to) check(syscall(SYS.fcntl, to, F_SETFD, 0), "fcntl");
  else check(syscall(SYS.dup3, from, to, 0), "dup3");
}
