/** Starts that are under way: each holds its base. */
import { paths, type Store } from "../store/paths.ts";
import { listBases } from "../store/versions.ts";
import { flock, openatMaybe } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import { sleep } from "../sys/self.ts";

/** Milliseconds in which starts end; whoever holds a base for longer is not waited for. */
const START_TIME = 2000;

/**
 * Lets every start that is under way end. What has no record then and is not mounted is
 * nobody's, even when starts keep their records in another --run directory. Returns the first base that stays held.
 */
export function waitForStarts(store: Store): string | undefined {
  const end = Date.now() + START_TIME;
  return listBases(store).find((name) => {
    while (!isFree(store, name)) {
      if (Date.now() > end) return true;
      sleep(5);
    }
    return false;
  });
}

/** Whether nobody holds the base now. */
export function isFree(store: Store, name: string): boolean {
  using base = openatMaybe(AT_FDCWD, paths.base(store, name), O_RDONLY | O_DIRECTORY);
  return !base || flock(base.number, LOCK_EX | LOCK_NB, name);
}
