/**
 * Starts that failed after veneer: the real runtime never made a container, so it never ran the poststop hook. Each
 * start leaves a mark; the next start, of whatever container, looks at some marks and releases the roots of those
 * that failed.
 */
import { reclaim } from "../start/release.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { paths, type Store } from "../store/paths.ts";
import { readRecord } from "../store/records.ts";
import { isErrno } from "../sys/errno.ts";
import { mkdirMaybe, mknodat, openatMaybe, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFREG } from "../sys/flags.ts";
import { isAlive } from "../sys/process.ts";
import { listFd } from "../sys/stat.ts";

/** Marks that one start looks at. A container that was made removes its mark, so there are seldom as many. */
const AT_ONCE = 8;

/** Never fails: what cannot be released stays for `gc`. */
export function clearFailedStarts(store: Store): void {
  const path = paths.starts(store);
  using directory = openatMaybe(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return;
  for (const key of listFd(directory.number, path, AT_ONCE).slice(0, AT_ONCE)) {
    try {
      if (isDecided(store, key)) unlinkQuietly(key, directory.number);
    } catch {
      // a record that cannot be read is reported by `gc`
    }
  }
}

/** False while the runtime of that start is still at work. */
function isDecided(store: Store, key: string): boolean {
  const record = readRecord(store, key);
  if (!record) return true;
  if (isAlive(record.preparer)) return false;
  if (!isLive(record)) reclaim(store, record);
  return true;
}

/** Marks a start with this record as under way. */
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
