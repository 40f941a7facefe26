/** Work that nobody waits for. Only for the small program, because it forks. */
import { openat } from "../fd.ts";
import { AT_FDCWD, O_RDWR } from "../flags.ts";
import { chdir } from "../namespace.ts";
import { duplicateTo, exit, fork } from "./fork.ts";
import { ignoreSignals } from "./signals.ts";

/**
 * Ends this process with status 0 and runs `action` in a child, in `/`. The child never reports an error, and when it
 * is killed the rest is not done. It closes its output, so that nobody who reads our output to the end waits for it.
 */
export function endAndGoOn(action: () => void): never {
  // exit at once: each page that either process writes to after the fork must be copied first
  if (fork() !== 0) exit(0);
  try {
    // a foreground container's terminal may close now, and its bundle may disappear
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
