/** Deletes what was moved to the trash without making the caller wait. `gc` deletes whatever remains. */
import { isErrno } from "../sys/errno.ts";
import { startDetached } from "../sys/spawn.ts";
import { removeTree } from "./trash.ts";

/** How many entries this process deletes itself; they take about a millisecond. */
const AT_ONCE = 64;

/** Deletes a directory in the trash: a small one at once, a large one in a detached process that outlives this one. */
export function deleteInBackground(trash: string): void {
  if (!deleteIfSmall(trash)) deleteLater(trash);
}

/**
 * Deletes a directory in the trash if it is small. Returns false when something remains: there are too many entries, or
 * they belong to ids of a user namespace that this process is not in.
 */
export function deleteIfSmall(trash: string): boolean {
  try {
    return removeTree(trash, AT_ONCE) >= 0;
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return false;
    throw error;
  }
}

/** Starts a process that deletes a directory in the trash, and does not wait for it. */
function deleteLater(trash: string): void {
  try {
    startDetached(["/bin/rm", "-rf", "--one-file-system", "--", trash]);
  } catch {
    // it stays in the trash, where `gc` finds it
  }
}
