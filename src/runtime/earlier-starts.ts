/**
 * Cleans up after starts that failed in the real runtime: it never created a container, so it never ran the poststop
 * hook. Each start leaves a mark. Later starts, of any container, check some of the marks and release the roots of
 * failed starts.
 */
import { reclaim } from "../start/release.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { paths, type Store } from "../store/paths.ts";
import { readRecord } from "../store/records.ts";
import { isErrno } from "../sys/errno.ts";
import { mkdirMaybe, mknodat, openatMaybe, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFREG } from "../sys/flags.ts";
import { lifeOf } from "../sys/process.ts";
import { listFd } from "../sys/stat.ts";

/** Most marks that one start checks. There are rarely more, because the release of a container removes its mark. */
const AT_ONCE = 8;

/** Releases failed starts. Never throws: `gc` releases what this cannot. */
export function clearFailedStarts(store: Store): void {
  const path = paths.starts(store);
  using directory = openatMaybe(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return;
  for (const key of listFd(directory.number, path, AT_ONCE).slice(0, AT_ONCE)) {
    try {
      if (isDecided(store, key)) unlinkQuietly(key, directory.number);
    } catch {
      // `gc` reports records that cannot be read
    }
  }
}

/** False as long as the runtime of that start is still working. */
function isDecided(store: Store, key: string): boolean {
  const record = readRecord(store, key);
  if (!record) return true;
  if (lifeOf(record.preparer) !== "gone") return false;
  if (!isLive(record)) reclaim(store, record);
  return true;
}

/** Creates the mark of a start with this record. */
export function markStart(store: Store, key: string): void {
  const mark = () => mknodat(AT_FDCWD, paths.startMark(store, key), S_IFREG | 0o600);
  try {
    mark();
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    mkdirMaybe(paths.starts(store), 0o700);
    mark();
  }
}
