/** Deletes what was moved to the trash, out of the way of whoever waits. What stays there is left to `gc`. */
import { isErrno } from "../sys/errno.ts";
import { startDetached } from "../sys/spawn.ts";
import { removeTree } from "./trash.ts";

/** Entries that are deleted at once: about a millisecond. */
const AT_ONCE = 64;

/** Deletes a small directory in the trash now, a large one by a process of its own, which outlives this one. */
export function deleteInBackground(trash: string): void {
  if (!deleteIfSmall(trash)) deleteLater(trash);
}

/** False where something is left: there is much, or it is of ids of a user's namespace and this process is outside. */
export function deleteIfSmall(trash: string): boolean {
  try {
    return removeTree(trash, AT_ONCE) >= 0;
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return false;
    throw error;
  }
}

/** Lets a directory in the trash be deleted by a process of its own, which this one does not wait for. */
function deleteLater(trash: string): void {
  try {
    startDetached(["/bin/rm", "-rf", "--one-file-system", "--", trash]);
  } catch {
    // it stays in the trash
  }
}
