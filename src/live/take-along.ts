/** The new upper of a container that is paused. */
import type { Fd } from "../sys/fd.ts";
import type { Work } from "./freeze-and-switch.ts";
import { publishMoving } from "./journal.ts";
import { type Found, linkFiles } from "./link-open-files.ts";
import { moveBack, moveChanges } from "./move-changes.ts";
import type { Pause } from "./pause.ts";

/** Completes the new upper. False where what was to go along has to stay after all: then another try is to be made. */
export function takeAlong(work: Work, upper: Fd, found: readonly Found[], pause: Pause): boolean {
  const { next } = work;
  const [old] = next.parts;
  if (old && work.stays === undefined) {
    const why = moveChanges(old, upper, pause.check);
    if (why !== undefined) {
      leaveBehind(work, upper);
      work.stays = why;
      const { from: _, ...moving } = work.moving;
      work.moving = moving;
      work.holders.push(publishMoving(work.store, moving, true));
      return false;
    }
  }
  linkFiles(next.parts, upper, work.stays === undefined ? found.filter(({ part }) => part > 0) : found);
  next.hide(upper, pause.check);
  return true;
}

/** What {@link takeAlong} took goes back. */
export function leaveBehind({ next, stays }: Work, upper: Fd): void {
  const [old] = next.parts;
  if (old && stays === undefined) moveBack(old, upper);
}
