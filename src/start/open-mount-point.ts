/** Finds mount points in a root that a container may have written to, and never leaves that root. */
import { UsageError, VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, mkdirMaybe, openat, openat2, readlink } from "../sys/fd.ts";
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/flags.ts";

const MAX_LINKS = 40;

/**
 * An O_PATH descriptor of a mount point, which is created when missing, as a directory or an empty file. Symbolic links
 * are resolved inside `root`. With `strict` none is allowed, as in runc for proc and sysfs: if a link placed the file
 * system elsewhere, masks and read-only paths below /proc would miss it.
 */
export function openMountPoint(root: Fd, path: string, kind: "directory" | "file", strict: boolean): Fd {
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (strict ? RESOLVE_NO_SYMLINKS : 0);
  try {
    return openat2(root.number, path, O_PATH, resolve);
  } catch (error) {
    if (strict && isErrno(error, "ELOOP")) {
      throw new VeneerError(
        "LINKED_ROOT",
        `mount point ${path} is reached through a symbolic link in the root`,
        {
          cause: error,
          hint: "proc and sysfs need ordinary directories: look at the instance's upper ('veneer inspect ID')",
        },
      );
    }
    if (!isErrno(error, "ENOENT")) throw error;
  }
  return create(root, path, kind);
}

/** Walks down and creates what is missing. Follows dangling links and creates their targets. */
function create(root: Fd, path: string, kind: "directory" | "file"): Fd {
  let rest = path.split("/").filter((part) => part !== "");
  let done: string[] = [];
  for (let links = 0; rest.length > 0; ) {
    const name = rest.shift() as string;
    if (name === "..") {
      done.pop();
      continue;
    }
    using parent = openat2(
      root.number,
      done.join("/") || ".",
      O_PATH | O_DIRECTORY,
      RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    );
    const target = readlink(name, parent.number);
    if (target !== undefined) {
      if (++links > MAX_LINKS)
        throw new VeneerError("LOOP", `too many symbolic links at mount point ${path}`);
      if (target.startsWith("/")) done = [];
      rest = [...target.split("/").filter((part) => part !== "" && part !== "."), ...rest];
      continue;
    }
    if (rest.length > 0 || kind === "directory") mkdirMaybe(name, 0o755, parent.number);
    else makeFile(parent, name);
    done.push(name);
  }
  if (done.length === 0) throw new UsageError(`mount point ${path} is the root itself`);
  return openat2(root.number, done.join("/"), O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

function makeFile(parent: Fd, name: string): void {
  try {
    openat(parent.number, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644)[Symbol.dispose]();
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}
