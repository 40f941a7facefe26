/** The end of a container of our own, from outside. */
import { VeneerError } from "../errors.ts";
import { paths } from "../store/paths.ts";
import { sleep } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { type RunPlace, signalContainer, sweepRuns } from "./run.ts";

/** Milliseconds for the end of a process that was killed, and of all that is removed then. */
const END_TIME = 60_000;
const PERIOD = 20;

/**
 * Sends SIGTERM, after so many milliseconds SIGKILL, and returns when nothing of the container is left. Throws BUSY when
 * it does not end.
 */
export function stopContainer(place: Omit<RunPlace, "runtime">, id: string, milliseconds: number): void {
  const { store } = place;
  const bundle = lstatMaybe(paths.bundle(store, id))?.ino;
  if (bundle === undefined) return;
  // one that has ended meanwhile is no error
  signalContainer(place, id, "TERM");
  const isGone = () => {
    // nobody waits for the container when the process that did was killed
    sweepRuns(place);
    return lstatMaybe(paths.bundle(store, id))?.ino !== bundle;
  };
  if (!waitUntil(isGone, milliseconds)) {
    signalContainer(place, id, "KILL");
    if (!waitUntil(isGone, END_TIME)) throw stillThere(id);
  }
}

function stillThere(id: string): VeneerError {
  return new VeneerError("BUSY", `container ${id} was killed, but did not end within ${END_TIME / 1000} s`, {
    hint: "one of its processes may wait for a device: try again",
  });
}

function waitUntil(condition: () => boolean, milliseconds: number): boolean {
  for (const end = Date.now() + milliseconds; ; sleep(PERIOD)) {
    if (condition()) return true;
    if (Date.now() >= end) return false;
  }
}
