/** Unfinished rounds of updates: at most one per base, durable, found again after a crash. */
import validateUpdate from "../generated/update.js";
import { readDocument, writeDocument } from "../store/document.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Fd, flock, mkdirMaybe, openat, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, O_CREAT, O_NOFOLLOW, O_RDWR } from "../sys/flags.ts";

/** bases/NAME/update/state.json */
export interface UpdateState {
  /** the version that is on trial */
  readonly candidate: number;
  /** its check in a container of its own has passed */
  readonly checked: boolean;
  /** ISO 8601 */
  readonly begun: string;
}

/** Waits until no other process updates a base of this store. */
export function lockUpdates(store: Store): Fd {
  const path = `${store.root}/updates.lock`;
  const fd = openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  flock(fd.number, LOCK_EX, path);
  return fd;
}

export function readUpdate(store: Store, name: string): UpdateState | undefined {
  return readDocument<UpdateState>(paths.updateFile(store, name), validateUpdate, "remove that file");
}

/** Durable on return. */
export function writeUpdate(store: Store, name: string, state: UpdateState): void {
  mkdirMaybe(paths.update(store, name), 0o700);
  writeDocument(paths.updateFile(store, name), state, { sync: true });
}

export function removeUpdate(store: Store, name: string): void {
  unlinkQuietly(paths.updateFile(store, name));
}
