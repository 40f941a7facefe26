/** A process that outlives the one that a caller waits for. Only for the small program, because it forks. */
import { type Fd, openat, readSome, writeAll } from "../fd.ts";
import { AT_FDCWD, O_RDONLY } from "../flags.ts";
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { detachSelf } from "./daemon.ts";
import { duplicateTo, execve, exit, fork, pipe, waitFor } from "./fork.ts";

/** Call it once, when everything has started: the parent then continues, and only `kept` stay open in the child. */
export type Started = (kept: readonly Fd[]) => void;

/**
 * Runs `action` in a child. Returns undefined as soon as it calls `started`, which moves the child into a session of
 * its own; if the child ends without that call, returns its exit status.
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

/** From now on, orphaned descendants of this process become its children (prctl(2), PR_SET_CHILD_SUBREAPER). */
export function adoptOrphans(): void {
  check(syscall(SYS.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl");
}

/** Runs a program to its end, without input and with all its output going to `output`. Returns its exit status. */
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
