/** The moment in which nothing of a container, or of what uses a mount, runs. */
import { freezeAll, planFreeze, stopNewcomers, thawAll } from "../live/freeze.ts";
import { type CopyIntent, type FreezePlan, publishIntent, removeIntent } from "../live/journal.ts";
import { beginPause } from "../live/pause.ts";
import type { Members } from "../live/processes.ts";
import type { LiveTarget } from "../live/rebase.ts";
import { startGuard } from "../live/watchdog.ts";
import type { Store } from "../store/paths.ts";

export interface PauseReport {
  /** milliseconds in which nothing of it ran */
  readonly pause: number;
  /** how many processes were stopped by signals, being in no control group of the container's own */
  readonly stopped: number;
}

export interface Writers {
  readonly first: Members;
  /** looks again for those who came since */
  readonly look: () => Members;
  /** milliseconds */
  readonly pauseLimit: number;
}

/**
 * Runs `action` while all writers stand still; they go on when it ends, however it does, when this process is killed, and
 * some seconds after the limit. Throws PAUSE when it takes longer than the limit: `pace` does so in its midst. The caller
 * holds the instance's lock or the ephemeral upper.
 */
export async function whilePaused(
  store: Store,
  { record, instance }: LiveTarget,
  { first, look, pauseLimit }: Writers,
  action: (pace: () => void) => Promise<void>,
): Promise<PauseReport> {
  let plan: FreezePlan = planFreeze(first);
  const intent: CopyIntent = {
    key: record.key,
    copy: true,
    halt: plan,
    record,
    ...(instance && { instance: instance.definition }),
  };
  const holders = [publishIntent(store, intent)];
  using guard = startGuard(store, pauseLimit);
  let standing = false;
  try {
    const begin = performance.now();
    const pause = beginPause({ limit: pauseLimit, container: record.container ?? record.key, act: "copy" });
    standing = true;
    try {
      guard.frozen(plan);
      freezeAll(plan, pause.left());
      plan = stopNewcomers({ store, intent, holders, guard }, first, look);
      await action(pause.check);
      // later than this the watchdog may have let them go on
      pause.check();
    } finally {
      thawAll(plan);
      guard.thawed();
      standing = false;
    }
    return { pause: performance.now() - begin, stopped: plan.stopped.length };
  } finally {
    // what could not be let go on stays for the next command: the intent tells of it
    if (!standing) removeIntent(store, record.key);
    for (const holder of holders) holder[Symbol.dispose]();
  }
}
