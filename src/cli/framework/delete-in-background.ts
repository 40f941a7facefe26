/** Deletes what was moved to the trash, out of the way of whoever waits for the command. */
import { removeTree } from "../../store/trash.ts";

/** Entries that are deleted at once: about a millisecond. */
const INLINE_REMOVALS = 64;

/**
 * Deletes a directory in the trash: a small one now, a large one by a process of its own that outlives this
 * one. What that one does not delete is left to `gc`.
 */
export async function deleteAside(trash: string): Promise<void> {
  if (removeTree(trash, INLINE_REMOVALS) >= 0) return;
  const { spawn } = await import("node:child_process");
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  // rm(1) takes trees of any depth and follows no symbolic link
  spawn("rm", ["-rf", "--one-file-system", "--", trash], {
    cwd: "/",
    env,
    stdio: "ignore",
    detached: true,
  }).unref();
}
