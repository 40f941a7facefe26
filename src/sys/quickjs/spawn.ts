/** Starts programs from the small program, which forks. Exports the same as ../spawn.ts. */

import { MINIMAL_ENVIRONMENT, TIMED_OUT } from "../environment.ts";
import { type Fd, openat, readAll } from "../fd.ts";
import { makeMemoryFile } from "../files/data.ts";
import { AT_FDCWD, CLONE_NEWUSER, O_RDWR } from "../flags.ts";
import { syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { duplicateTo, execve, exit, fork, pipe, shellStatus, waitFor } from "../process/fork.ts";
import { restoreBrokenPipes, unblockSignals } from "../process/signals.ts";
import { sleep } from "../self.ts";
import type { Ended, NamespaceHolder, RunOptions } from "../spawn.ts";

const CLOSE_RANGE_CLOEXEC = 4;

/**
 * In the child: executes the program or exits. Standard descriptors that are not given are /dev/null, and all others
 * are closed.
 */
function become(
  argv: readonly string[],
  env: readonly (string | Uint8Array)[],
  out = 0,
  err = 0,
  input = openat(AT_FDCWD, "/dev/null", O_RDWR).number,
): never {
  try {
    syscall(SYS.chdir, new Uint8Array([0x2f, 0]));
    duplicateTo(input, 0);
    duplicateTo(out, 1);
    duplicateTo(err, 2);
    // the program must not inherit what our caller left open without O_CLOEXEC
    syscall(SYS.close_range, 3, 0xffffffff, CLOSE_RANGE_CLOEXEC);
    restoreBrokenPipes();
    unblockSignals();
    execve(argv[0] as string, argv, env);
  } finally {
    exit(127);
  }
}

/** Runs a program to its end, in `/`, without input. Returns its status and output. */
export function runToEnd(argv: readonly string[], options: RunOptions = {}): Ended {
  using out = makeMemoryFile("output");
  using err = makeMemoryFile("output");
  const pid = fork();
  if (pid === 0) become(argv, options.env ?? MINIMAL_ENVIRONMENT, out.number, err.number);
  return { status: waitWithin(pid, options.limit), stdout: contents(out), stderr: contents(err) };
}

const WNOHANG = 1;

/** Like {@link waitFor}, but after the limit kills the child and does not wait: it may hang in the kernel. */
function waitWithin(pid: number, milliseconds: number | undefined): number {
  if (milliseconds === undefined) return waitFor(pid);
  const ended = new Int32Array(1);
  for (const end = Date.now() + milliseconds; Date.now() < end; sleep(1)) {
    if (syscall(SYS.wait4, pid, ended, WNOHANG, null) === pid) return shellStatus(ended[0] as number);
  }
  syscall(SYS.kill, pid, SIGKILL);
  return TIMED_OUT;
}

const SIGKILL = 9;

const OUTPUT_LIMIT = 16 * 1024 * 1024;

function contents(file: Fd): string {
  syscall(SYS.lseek, file.number, 0, 0);
  return new TextDecoder().decode(readAll(file.number, OUTPUT_LIMIT, "output of a program"));
}

/** Starts a program in a session of its own, in `/`, without input and output. Throws when it cannot fork. */
export function startDetached(argv: readonly string[]): void {
  if (fork() !== 0) return;
  syscall(SYS.setsid);
  become(argv, MINIMAL_ENVIRONMENT);
}

/** Starts a program in `/` with these descriptors as input and output. Disposal kills it without waiting. */
export function startBetween(argv: readonly string[], input: number, output: number): Disposable {
  const pid = fork();
  if (pid === 0) become(argv, MINIMAL_ENVIRONMENT, output, output, input);
  return {
    [Symbol.dispose]() {
      syscall(SYS.kill, pid, SIGKILL);
      syscall(SYS.wait4, pid, null, WNOHANG, null);
    },
  };
}

/** Creates a user namespace; undefined where that is not allowed. Its process ends with this one, even after a kill. */
export function holdNewUserNamespace(): NamespaceHolder | undefined {
  const inside = pipe();
  const hold = pipe();
  const pid = fork();
  if (pid === 0) {
    hold.write[Symbol.dispose]();
    if (syscall(SYS.unshare, CLONE_NEWUSER) < 0) exit(1);
    syscall(SYS.write, inside.write.number, new Uint8Array(1), 1);
    syscall(SYS.read, hold.read.number, new Uint8Array(1), 1);
    exit(0);
  }
  hold.read[Symbol.dispose]();
  inside.write[Symbol.dispose]();
  const entered = syscall(SYS.read, inside.read.number, new Uint8Array(1), 1) === 1;
  inside.read[Symbol.dispose]();
  const end = () => {
    hold.write[Symbol.dispose]();
    waitFor(pid);
  };
  if (entered) return { pid, [Symbol.dispose]: end };
  end();
  return undefined;
}
