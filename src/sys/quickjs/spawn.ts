/** Processes of the small program that it does not wait for: it forks. */

import { openat } from "../fd.ts";
import { AT_FDCWD, CLONE_NEWUSER, O_RDWR } from "../flags.ts";
import { duplicateTo, environmentOf, execve, exit, fork, pipe, waitFor } from "../fork.ts";
import { syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import type { NamespaceHolder } from "../spawn.ts";

const CLOSE_RANGE_CLOEXEC = 4;
const SIGKILL = 9;

/** Starts a program in a session of its own, in `/`, without input and output. Throws where it cannot fork. */
export function startDetached(argv: readonly string[]): void {
  if (fork() !== 0) return;
  try {
    syscall(SYS.setsid);
    syscall(SYS.chdir, new Uint8Array([0x2f, 0]));
    const nothing = openat(AT_FDCWD, "/dev/null", O_RDWR);
    for (const number of [0, 1, 2]) duplicateTo(nothing.number, number);
    // what a caller left open without O_CLOEXEC is not for this one
    syscall(SYS.close_range, 3, 0xffffffff, CLOSE_RANGE_CLOEXEC);
    execve(argv[0] as string, argv, environmentOf({ PATH: "/usr/sbin:/usr/bin:/sbin:/bin" }));
  } finally {
    exit(127);
  }
}

/** Undefined where the kernel or an administrator allows no new one. */
export function holdNewUserNamespace(): NamespaceHolder | undefined {
  const inside = pipe();
  const pid = fork();
  if (pid === 0) {
    const failed = syscall(SYS.unshare, CLONE_NEWUSER) < 0;
    if (failed) exit(1);
    syscall(SYS.write, inside.write.number, new Uint8Array(1), 1);
    for (;;) syscall(SYS.ppoll, null, 0, null, null, 0);
  }
  inside.write[Symbol.dispose]();
  const entered = syscall(SYS.read, inside.read.number, new Uint8Array(1), 1) === 1;
  inside.read[Symbol.dispose]();
  const end = () => {
    syscall(SYS.kill, pid, SIGKILL);
    waitFor(pid);
  };
  if (entered) return { pid, [Symbol.dispose]: end };
  end();
  return undefined;
}
