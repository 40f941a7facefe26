/** Parts of an upper laid over one another, and what that leaves. */
import { deleteInBackground } from "../store/delete-in-background.ts";
import type { Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { moveToTrash, removeTree } from "../store/trash.ts";
import { mkdirat, openat, openDirectory, syncfs } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import { type LayOptions, layOver } from "./merge-down.ts";

/** What a merge leaves in the trash. */
export class Leftovers {
  readonly #parts: string[] = [];
  readonly #replaced: string[] = [];

  addParts(trash: string | undefined): void {
    if (trash !== undefined) this.#parts.push(trash);
  }

  /**
   * Until this is done, files of the parts have more links than a container made, and one that starts would go on
   * to see that: done before the instance's lock is given back, unless somebody waits for it.
   */
  deleteParts(stopped: () => boolean): void {
    for (const trash of this.#parts) while (removeTree(trash, DELETED_AT_ONCE) < 0) if (stopped()) return;
  }

  /** What the parts had replaced, of any size. */
  addReplaced(trash: string | undefined): void {
    if (trash !== undefined) this.#replaced.push(trash);
  }

  /** Deletes the rest, when the lock is given back. */
  delete(): void {
    for (const trash of this.#parts.splice(0)) removeTree(trash);
    for (const trash of this.#replaced.splice(0)) deleteInBackground(trash);
  }
}

/** Entries between two looks at whether somebody waits. */
const DELETED_AT_ONCE = 512;

export const never = () => false;

export function syncUpper(upper: string): void {
  using fd = openat(AT_FDCWD, upper, O_RDONLY | O_DIRECTORY);
  syncfs(fd.number, upper);
}

/** Lays trees over `bottom`, the lowest first. */
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
