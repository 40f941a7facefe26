/** Somebody who stays when this process is killed, or stuck in a call, while a container stands still. */
import type { Store } from "../store/paths.ts";
import { MINIMAL_PATH } from "../sys/environment.ts";
import { writeAll } from "../sys/fd.ts";
import { pipe } from "../sys/process/fork.ts";
import { programPath } from "../sys/self.ts";
import type { FreezePlan } from "./journal.ts";

/**
 * Reads lines: `frozen SECONDS FILE VALUE PIDS` begins a pause, after which VALUE is written to FILE and the processes
 * get SIGCONT unless `thawed` comes first; `done` ends it. Its input ends when the process that holds the other end is
 * gone.
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
  /** the container is about to stand still */
  frozen(plan: FreezePlan): void;
  thawed(): void;
}

/** Seconds beyond the limit of the pause: whoever is not stuck has undone all by then. */
const GRACE = 2;

/**
 * Starts a small process that calls `veneer internal recover` if this one dies before the guard is disposed of: a
 * container that was made to stand still goes on within milliseconds, whatever becomes of its rebase; and some seconds
 * after the limit of its pause it goes on also when this process is stuck in a call of the kernel. It is in a
 * session of its own, out of reach of a terminal's signals; one who kills both leaves it to the next command.
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
  // not through Bun's streams, which write when this thread has time: it is in system calls meanwhile
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
      // not by a signal: one that has not read yet that the container goes on would thaw it later
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
