/** A process that goes on after the one that a caller waits for. Of the small program alone: it forks. */
import { type Fd, openat, readSome, writeAll } from "../fd.ts";
import { AT_FDCWD, O_RDONLY } from "../flags.ts";
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { detachSelf } from "./daemon.ts";
import { duplicateTo, execve, exit, fork, pipe, waitFor } from "./fork.ts";

/** Called once, when what was to be started runs: the caller goes on, and of the child's descriptors `kept` stay. */
export type Started = (kept: readonly Fd[]) => void;

/**
 * Does `action` in a child. Undefined when that called `started`, after which it is in a session of its own; the exit
 * status that it returned when it did not.
 */
export function untilStarted(action: (started: Started) => number): number | undefined {
  const told = pipe();
  const pid = fork();
  if (pid === 0) {
    told.read[Symbol.dispose]();
    exit(
      action((kept) => {
        detachSelf([...kept, told.write]);
        check(syscall(SYS.chdir, new Uint8Array([0x2f, 0])), "chdir", "/");
        writeAll(told.write.number, new Uint8Array(1), "pipe");
        told.write[Symbol.dispose]();
      }),
    );
  }
  told.write[Symbol.dispose]();
  using read = told.read;
  return readSome(read.number, new Uint8Array(1), "pipe") > 0 ? undefined : waitFor(pid);
}

const PR_SET_CHILD_SUBREAPER = 36;

/** From now on processes whose parent ends below this one become its children (PR_SET_CHILD_SUBREAPER, prctl(2)). */
export function adoptOrphans(): void {
  check(syscall(SYS.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl");
}

/** Runs a program without input to its end, with all it writes going to `output`; its exit status. */
export function runInto(argv: readonly string[], env: readonly string[], output: Fd): number {
  const pid = fork();
  if (pid === 0) {
    using nothing = openat(AT_FDCWD, "/dev/null", O_RDONLY);
    duplicateTo(nothing.number, 0);
    for (const number of [1, 2]) duplicateTo(output.number, number);
    execve(argv[0] as string, argv, env);
    exit(127);
  }
  return waitFor(pid);
}
