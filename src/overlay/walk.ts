/** Walks trees that a container has written to: by descriptor, never through symbolic links or onto other mounts. */
import { VeneerError } from "../errors.ts";
import { ifStillThere, isReplaced } from "../sys/errno.ts";
import { openat } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR } from "../sys/flags.ts";
import { fstat, isType, listFd, lstatMaybe, type Stat } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";

/** Each level keeps a directory open. Deeper trees are refused before descriptors or the stack run out. */
export const MAX_DEPTH = 2000;

export interface Entry {
  /** relative to the root of the walk */
  readonly path: string;
  readonly name: string;
  readonly stat: Stat;
  /** descriptor of its parent directory, valid during the call */
  readonly dir: number;
}

/** A path to the entry itself through its open parent directory; valid during the call. */
export function entryPath({ dir, name }: Pick<Entry, "dir" | "name">): string {
  return `/proc/self/fd/${dir}/${name}`;
}

// biome-ignore lint/suspicious/noConfusingVoidType: most visitors return nothing
type Visitor = (entry: Entry) => boolean | void;

/**
 * Calls `visit` for each entry below a directory, sorted by name, each directory before its contents. When `visit`
 * returns false, does not descend. Leaves out entries that are removed before they are looked at. Throws SysError, and
 * VeneerError for a tree that is too deep (TOO_DEEP), or in which something is replaced between two calls (BUSY).
 */
export function walk(directory: string, visit: Visitor): void {
  walkTree(directory, visit, (look, path) => {
    try {
      look();
    } catch (cause) {
      if (!isReplaced(cause)) throw cause;
      throw new VeneerError("BUSY", `${quote(path)} was replaced while it was read`, {
        cause,
        hint: "stop what writes there, and try again",
      });
    }
  });
}

/** Like {@link walk}, for a tree that is in use: leaves out what is replaced between two calls, too. */
export function walkChanging(directory: string, visit: Visitor): void {
  walkTree(directory, visit, ifStillThere);
}

function walkTree(
  directory: string,
  visit: Visitor,
  attempt: (look: () => void, path: string) => void,
): void {
  using root = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const { mountId } = fstat(root.number);
  const descend = (dir: number, prefix: string, depth: number) => {
    if (depth > MAX_DEPTH) throw new VeneerError("TOO_DEEP", `more than ${MAX_DEPTH} directories deep`);
    for (const name of listFd(dir, prefix).sort()) {
      attempt(() => look(dir, name, prefix, depth), prefix + name);
    }
  };
  const look = (dir: number, name: string, prefix: string, depth: number) => {
    const stat = lstatMaybe(name, dir);
    if (!stat || stat.mountId !== mountId) return;
    const path = prefix + name;
    if (visit({ path, name, stat, dir }) === false || !isType(stat, S_IFDIR)) return;
    using inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    descend(inner.number, `${path}/`, depth + 1);
  };
  descend(root.number, "", 0);
}

export interface Usage {
  /** allocated bytes; files with several hard links count once */
  readonly bytes: number;
  readonly entries: number;
}

/** The disk usage of a tree, which may be in use. `linked` holds files with several links that were already counted in other trees. */
export function measure(directory: string, linked = new Set<bigint>()): Usage {
  let bytes = (lstatMaybe(directory)?.blocks ?? 0) * 512;
  let entries = 0;
  walkChanging(directory, ({ stat }) => {
    entries++;
    if (stat.nlink > 1 && !isType(stat, S_IFDIR)) {
      if (linked.has(stat.ino)) return;
      linked.add(stat.ino);
    }
    bytes += stat.blocks * 512;
  });
  return { bytes, entries };
}
