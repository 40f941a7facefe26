/** Takes down what a record stands for. */
import { isMountedHere } from "../store/liveness.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Record, removeRecord } from "../store/records.ts";
import { moveToTrash, removeTree } from "../store/trash.ts";
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { umountQuietly } from "../sys/mount.ts";

/** Entries of an ephemeral upper that are deleted at once; the rest is left to `gc`, in the trash. */
const INLINE_REMOVALS = 64;

/**
 * Takes down what a record stands for: the upper of an ephemeral instance goes to the trash in one step, the
 * record goes. Idempotent. The caller knows that nothing uses it any more. Returns whether something is left
 * in the trash.
 */
export function release(store: Store, record: Record): boolean {
  let left = 0;
  if (record.placement === "host" && record.target !== undefined && record.source !== undefined) {
    if (isMountedHere(record.target, record.source))
      umountQuietly(record.target, MNT_DETACH | UMOUNT_NOFOLLOW);
  }
  if (record.ephemeral !== undefined) {
    const trash = moveToTrash(store, paths.ephemeral(store, record.ephemeral));
    if (trash !== undefined) left = removeTree(trash, INLINE_REMOVALS);
  }
  removeRecord(store, record);
  return left < 0;
}
