/** The new upper of a container that is frozen. */
import { hideBelow } from "../store/masks.ts";
import type { Fd } from "../sys/fd.ts";
import type { SwitchState } from "./freeze-and-switch.ts";
import { publishIntent } from "./journal.ts";
import { type Found, linkFiles } from "./link-open-files.ts";
import { moveBack, moveChanges } from "./move-changes.ts";
import type { Pause } from "./pause.ts";

/**
 * Completes the new upper. Returns false where changes that should have moved have to stay after all; the caller then
 * tries again.
 */
export function fillNewUpper(state: SwitchState, upper: Fd, found: readonly Found[], pause: Pause): boolean {
  const { next } = state;
  const [old] = next.parts;
  if (old && state.stays === undefined) {
    const why = moveChanges(old, upper, pause.check);
    if (why !== undefined) {
      emptyNewUpper(state, upper);
      state.stays = why;
      const { from: _, ...intent } = state.intent;
      state.intent = intent;
      state.holders.push(publishIntent(state.store, intent, true));
      return false;
    }
  }
  linkFiles(next.parts, upper, state.stays === undefined ? found.filter(({ part }) => part > 0) : found);
  // for the next mount: the overlay that is mounted now has the layer of masks
  hideBelow(state.store, next.masked, [upper, ...next.own], next.version, pause.check);
  return true;
}

/** Undoes {@link fillNewUpper}. */
export function emptyNewUpper({ next, stays }: SwitchState, upper: Fd): void {
  const [old] = next.parts;
  if (old && stays === undefined) moveBack(old, upper);
}
