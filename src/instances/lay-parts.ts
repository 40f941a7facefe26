/** Lays the parts of an upper over one another, and deletes what that leaves over. */
import { deleteInBackground } from "../store/delete-in-background.ts";
import type { Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { moveToTrash, removeTree } from "../store/trash.ts";
import { mkdirat, openat, openDirectory, syncfs } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import { type LayOptions, layOver } from "./merge-down.ts";

/** What a merge left in the trash. */
export class Leftovers {
  readonly #parts: string[] = [];
  readonly #replaced: string[] = [];

  addParts(trash: string | undefined): void {
    if (trash !== undefined) this.#parts.push(trash);
  }

  /**
   * Deletes merged parts. Until then their files have more hard links than the container created, and a container that
   * starts would see that; so the caller does this before it releases the lock of the instance. Ends early when
   * `stopped`.
   */
  deleteParts(stopped: () => boolean): void {
    for (const trash of this.#parts) while (removeTree(trash, DELETED_AT_ONCE) < 0) if (stopped()) return;
  }

  /** Adds a directory of replaced entries, of any size. */
  addReplaced(trash: string | undefined): void {
    if (trash !== undefined) this.#replaced.push(trash);
  }

  /** Deletes the rest, after the lock is released. */
  delete(): void {
    for (const trash of this.#parts.splice(0)) removeTree(trash);
    for (const trash of this.#replaced.splice(0)) deleteInBackground(trash);
  }
}

/** Entries deleted between two checks whether another process waits. */
const DELETED_AT_ONCE = 512;

export const never = () => false;

/** Syncs the file system of an upper: its contents are durable on return. Throws SysError. */
export function syncUpper(upper: string): void {
  using fd = openat(AT_FDCWD, upper, O_RDONLY | O_DIRECTORY);
  syncfs(fd.number, upper);
}

/** Lays trees over `bottom`, in the given order, lowest first. Returns false when `options.stopped` ended it early. */
export function layAll(
  store: Store,
  trees: readonly string[],
  bottom: string,
  leftovers: Leftovers,
  options: LayOptions,
): boolean {
  using staging = makeStaging(store);
  const replaced = `${staging.path}/replaced`;
  mkdirat(AT_FDCWD, replaced, 0o700);
  try {
    using stagingDir = openDirectory(replaced);
    return trees.every((tree) => layOver(tree, bottom, stagingDir, options));
  } finally {
    leftovers.addReplaced(moveToTrash(store, replaced));
  }
}
