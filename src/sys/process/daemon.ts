/** What a forked process does to go on by itself, after the one that a caller waits for has ended. */
import { type Fd, openat } from "../fd.ts";
import { AT_FDCWD, O_RDWR } from "../flags.ts";
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { duplicateTo } from "./fork.ts";

/**
 * Takes the process out of its terminal's session, puts /dev/null in place of its standard descriptors, and closes every
 * descriptor but `kept`: a caller that reads our output to its end, or waits for a lock that we have open, goes on.
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
