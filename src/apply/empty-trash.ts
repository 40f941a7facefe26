/** Deletes what lies in the trash. */
import { paths, type Store } from "../store/paths.ts";
import { namesIn } from "../store/versions.ts";
import { runProgram } from "./program.ts";

/**
 * Deletes directories of the trash, or all that is in it. What is mounted inside is left alone
 * (--one-file-system); symbolic links are removed, never followed. Two at once do not disturb each other.
 */
export async function emptyTrash(store: Store, entries?: readonly string[]): Promise<void> {
  const all = entries ?? namesIn(paths.trash(store)).map((name) => `${paths.trash(store)}/${name}`);
  for (let at = 0; at < all.length; at += 500) {
    await runProgram("rm", ["-rf", "--one-file-system", "--", ...all.slice(at, at + 500)]);
  }
}
