/** Takes a path out of a layer that is being made, as if nothing had been changed there. */
import { removeTree } from "../store/trash.ts";
import { isErrno } from "../sys/errno.ts";
import { openat2, openDirectory, unlink } from "../sys/fd.ts";
import { O_DIRECTORY, O_PATH, RESOLVE_EXACT, S_IFDIR } from "../sys/flags.ts";
import { isType, lstatMaybe } from "../sys/stat.ts";

/**
 * Removes `path` (absolute, as the layer shows it) and what is below it from `tree`: what the layers below have there
 * shows again. Follows no symbolic link. Nothing there is fine.
 */
export function discard(tree: string, path: string): void {
  const relative = path.replace(/^\/+/, "");
  const slash = relative.lastIndexOf("/");
  const name = relative.slice(slash + 1);
  using root = openDirectory(tree);
  try {
    const parent = slash < 0 ? "." : relative.slice(0, slash);
    using directory = openat2(root.number, parent, O_PATH | O_DIRECTORY, RESOLVE_EXACT);
    const stat = lstatMaybe(name, directory.number);
    if (isType(stat, S_IFDIR)) removeTree(name, undefined, directory.number);
    else if (stat) unlink(name, directory.number);
  } catch (error) {
    // the session did not come by there, or has a link or a file in its place
    if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
  }
}
