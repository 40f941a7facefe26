/** Work that nobody waits for. Of the small program alone: it forks. */
import { openat } from "../fd.ts";
import { AT_FDCWD, O_RDWR } from "../flags.ts";
import { chdir } from "../namespace.ts";
import { duplicateTo, exit, fork } from "./fork.ts";
import { ignoreSignals } from "./signals.ts";

/**
 * Ends this process with status 0 and does `action` in a child in `/`, which ends quietly whatever happens: a kill leaves the
 * rest of it undone. Nor does whoever waits for the end of the output wait for the child.
 */
export function endAndGoOn(action: () => void): never {
  // at once: what either of the two writes to from here on is copied first, a page at a time
  if (fork() !== 0) exit(0);
  try {
    // the terminal of a container in the foreground may close now, and its bundle go
    ignoreSignals();
    chdir("/");
    const nothing = openat(AT_FDCWD, "/dev/null", O_RDWR);
    duplicateTo(nothing.number, 1);
    duplicateTo(nothing.number, 2);
    action();
  } finally {
    exit(0);
  }
}
