/** Killed live rebases, which the next command finishes or reverts. */
import { holdIntent, listIntents } from "../../live/journal.ts";
import type { Store } from "../../store/paths.ts";
import { programPath } from "../../sys/self.ts";
import { lstatMaybe } from "../../sys/stat.ts";

/** Milliseconds to wait for a recovery: one container that cannot be recovered must not block all commands. */
export const RECOVERY_TIME = 15_000;

/** The message when that time has passed. */
export const NOT_RECOVERED =
  "veneer: the rebase of a container was killed, and could be neither finished nor reverted: a process in it does not answer";

/**
 * The command that recovers the containers of killed rebases. Run it in a separate process, because a container can
 * make it wait forever. Undefined when no rebase was killed; rebases in progress do not count.
 */
export function recoveryCommand(store: Store): readonly string[] | undefined {
  if (!lstatMaybe(`${store.run}/moving`)) return undefined;
  const killed = listIntents(store).some((key) => {
    using held = holdIntent(store, key);
    return held !== undefined;
  });
  return killed
    ? [programPath(), "--root", store.root, "--run", store.run, "internal", "recover"]
    : undefined;
}
