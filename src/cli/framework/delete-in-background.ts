/** Deletes what was moved to the trash, out of the way of whoever waits for the command. */
import { deleteLater } from "../../start/release.ts";
import { removeTree } from "../../store/trash.ts";

/** Entries that are deleted at once: about a millisecond. */
const INLINE_REMOVALS = 64;

/**
 * Deletes a directory in the trash: a small one now, a large one by a process of its own that outlives this
 * one. What that one does not delete is left to `gc`.
 */
export function deleteAside(trash: string): void {
  if (removeTree(trash, INLINE_REMOVALS) < 0) deleteLater(trash);
}
