/** Somebody who stays when this process is killed while a container stands still. */
import type { Store } from "../store/paths.ts";
import { programPath } from "../sys/self.ts";

/** Waits for the end of its input, which comes when the process that holds the other end is gone. */
const SCRIPT = 'while read -r _; do :; done; exec "$@"';

/**
 * Starts a small process that calls `veneer internal recover` if this one dies before the guard is disposed of: a
 * container that was made to stand still goes on within milliseconds, whatever becomes of its rebase. It is in a
 * session of its own, out of reach of a terminal's signals; one who kills both leaves it to the next command.
 */
export function startGuard(store: Store): Disposable {
  const recover = [programPath(), "--root", store.root, "--run", store.run, "internal", "recover"];
  const guard = Bun.spawn(["/bin/sh", "-c", SCRIPT, "sh", ...recover], {
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    stdio: ["pipe", "ignore", "inherit"],
    detached: true,
  });
  return {
    [Symbol.dispose]() {
      guard.kill("SIGKILL");
      guard.unref();
    },
  };
}
