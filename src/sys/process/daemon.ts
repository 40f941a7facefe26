/** Detaches a forked process, so that it continues after the process that a caller waits for has ended. */
import { type Fd, openat } from "../fd.ts";
import { AT_FDCWD, O_RDWR } from "../flags.ts";
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { duplicateTo } from "./fork.ts";

/**
 * Starts a new session without a terminal, replaces the standard descriptors with /dev/null, and closes every other
 * descriptor but `kept`, so that nobody who reads our output to the end or waits for a lock of ours waits for this
 * process.
 */
export function detachSelf(kept: readonly Fd[]): void {
  check(syscall(SYS.setsid), "setsid");
  using nothing = openat(AT_FDCWD, "/dev/null", O_RDWR);
  for (const number of [0, 1, 2]) duplicateTo(nothing.number, number);
  const numbers = kept.map((fd) => fd.number).sort((a, b) => a - b);
  let first = 3;
  for (const number of [...numbers, LAST + 1]) {
    if (number > first) check(syscall(SYS.close_range, first, number - 1, 0), "close_range");
    first = number + 1;
  }
}

const LAST = 0xffffffff - 1;
