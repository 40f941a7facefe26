/** How long a container may be paused. */
import { VeneerError } from "../errors.ts";
import { displayName } from "../text/names.ts";

/** Milliseconds, unless --pause-limit says otherwise. */
export const PAUSE_LIMIT = 1000;

/** Milliseconds that the kernel takes at the very least to move one mount to another root. */
const MOVE_TIME = 0.02;

export interface PauseLimit {
  /** milliseconds */
  readonly limit: number;
  readonly container: string;
  /** what it is paused for */
  readonly act: "rebase" | "copy";
}

/** A pause that begins now. `check` throws once it has lasted too long; `left` is the rest, in milliseconds. */
export interface Pause {
  check(): void;
  left(): number;
}

export function beginPause(wanted: PauseLimit, now = () => performance.now()): Pause {
  const begin = now();
  const left = () => wanted.limit - (now() - begin);
  return {
    left,
    check() {
      if (left() < 0) throw tooLong(wanted, "took longer");
    },
  };
}

/**
 * Refuses a pause that is sure to be too long: inspecting the running container took `looking` milliseconds, and
 * `mounts` mounts have to be moved.
 */
export function refuseLongPause(wanted: PauseLimit, looking: number, mounts: number): void {
  const least = looking + mounts * MOVE_TIME;
  if (least < wanted.limit) return;
  throw tooLong(wanted, `would take ${Math.round(least)} ms at least, with ${mounts} mounts to move`);
}

function tooLong({ limit, container, act }: PauseLimit, why: string): VeneerError {
  const what = `container ${displayName(container)} may be paused for ${limit} ms, and its ${act} ${why}`;
  return new VeneerError("PAUSE", what, {
    hint: `nothing was changed: allow more with --pause-limit MILLISECONDS, or stop the container to ${act} it`,
  });
}
