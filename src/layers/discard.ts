/** Discards the changes at a path in a layer that is being made. */
import { removeTree } from "../store/trash.ts";
import { isReplaced } from "../sys/errno.ts";
import { openat2, openDirectory, unlink } from "../sys/fd.ts";
import { O_DIRECTORY, O_PATH, RESOLVE_EXACT, S_IFDIR } from "../sys/flags.ts";
import { isType, lstatMaybe } from "../sys/stat.ts";

/**
 * Removes `path` (absolute, inside the layer) and everything below it from `tree`, so that the layers below show there
 * again. Does not follow symbolic links. Does nothing when the path does not exist. Throws SysError.
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
    // the layer has no such directory, or a symbolic link or file in its place
    if (!isReplaced(error)) throw error;
  }
}
