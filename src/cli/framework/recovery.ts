/** Live rebases that were killed: whoever runs a command next finishes or reverts them. */
import { holdIntent, listIntents } from "../../live/journal.ts";
import type { Store } from "../../store/paths.ts";
import { programPath } from "../../sys/self.ts";
import { lstatMaybe } from "../../sys/stat.ts";

/** Milliseconds. A container that cannot be recovered in this time must not keep anybody from looking at the others. */
export const RECOVERY_TIME = 15_000;

/** What the user is told when the time is over. */
export const NOT_RECOVERED =
  "veneer: the rebase of a container was killed, and could be neither finished nor reverted: a process in it does not answer";

/**
 * The command that recovers the containers of killed rebases, to be run in a process of its own: a container can keep it
 * waiting for ever. Undefined where there is none; rebases that are under way do not count.
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
