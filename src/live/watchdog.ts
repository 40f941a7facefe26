/**
 * A process that thaws the container when this one is killed, or hangs in a system call, while the container is
 * frozen.
 */
import type { Store } from "../store/paths.ts";
import { MINIMAL_PATH } from "../sys/environment.ts";
import { writeAll } from "../sys/fd.ts";
import { pipe } from "../sys/process/fork.ts";
import { programPath } from "../sys/self.ts";
import type { FreezePlan } from "./journal.ts";

/**
 * Reads lines: `frozen SECONDS FILE VALUE PIDS` begins a pause; after SECONDS, VALUE is written to FILE and the
 * processes get SIGCONT, unless `thawed` comes first; `done` ends it. Its input ends when the process at the other
 * end is gone.
 */
const SCRIPT = `timer=
while read -r word seconds file value pids; do
  [ -z "$timer" ] || kill "$timer" 2>/dev/null
  timer=
  [ "$word" != done ] || exit 0
  [ "$word" = frozen ] || continue
  (
    trap 'kill "$sleep"; exit' TERM
    sleep "$seconds" &
    sleep=$!
    wait "$sleep"
    [ "$file" = - ] || echo "$value" >"$file"
    for pid in $pids; do kill -s CONT "$pid"; done
  ) 2>/dev/null &
  timer=$!
done
[ -z "$timer" ] || kill "$timer" 2>/dev/null
exec "$@"`;

export interface Guard extends Disposable {
  /** the container is about to be frozen */
  frozen(plan: FreezePlan): void;
  thawed(): void;
}

/** Seconds beyond the limit of the pause: a process that does not hang has reverted everything by then. */
const GRACE = 2;

/**
 * Starts a small process that calls `veneer internal recover` if this one dies before the guard is disposed of: a
 * frozen container continues within milliseconds, whatever becomes of its rebase. A few seconds after the limit of
 * its pause it continues even if this process hangs in a system call. The guard has a session of its own, out of
 * reach of a terminal's signals; if both are killed, the next command recovers the container.
 */
export function startGuard(store: Store, pauseLimit: number): Guard {
  const recover = [programPath(), "--root", store.root, "--run", store.run, "internal", "recover"];
  const { read, write } = pipe();
  const guard = Bun.spawn(["/bin/sh", "-c", SCRIPT, "sh", ...recover], {
    cwd: "/",
    env: { PATH: MINIMAL_PATH },
    stdio: [read.number, "ignore", "inherit"],
    detached: true,
  });
  read[Symbol.dispose]();
  // not through Bun's streams, which write only when the event loop runs: this thread is in system calls meanwhile
  const say = (line: string) => writeAll(write.number, new TextEncoder().encode(`${line}\n`), "the watchdog");
  return {
    frozen({ freezer, stopped, frozenBefore }) {
      const seconds = Math.ceil(pauseLimit / 1000) + GRACE;
      const v1 = freezer?.kind === "v1";
      const file =
        freezer && !frozenBefore ? `${freezer.path}/${v1 ? "freezer.state" : "cgroup.freeze"}` : "-";
      say(["frozen", seconds, file, v1 ? "THAWED" : "0", ...stopped.map(({ pid }) => pid)].join(" "));
    },
    thawed: () => say("thawed"),
    [Symbol.dispose]() {
      // not by a signal: a guard that has not yet read that the container continues would thaw it later
      try {
        say("done");
      } catch {
        // it was killed
      }
      write[Symbol.dispose]();
      guard.unref();
    },
  };
}
