/** Walks the parts of an upper as the one tree that overlayfs shows; by descriptor, like overlay/walk.ts. */
import { VeneerError } from "../errors.ts";
import { isOpaque, isWhiteout } from "../overlay/marks.ts";
import { type Entry, MAX_DEPTH } from "../overlay/walk.ts";
import { ifStillThere } from "../sys/errno.ts";
import { type Fd, openat } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR } from "../sys/flags.ts";
import { fstat, isType, listFd, lstatMaybe } from "../sys/stat.ts";

/** An entry of the merged parts; `stat`, `dir` and `name` are those of the topmost part that has it. */
export interface PartEntry extends Entry {
  /** a directory that hides the base below all parts */
  readonly opaque: boolean;
}

/**
 * Calls `visit` for each entry of the merged parts (uppers, top first), sorted by name, each directory before its
 * contents. Leaves out whiteouts that hide nothing below the parts, what is removed or replaced in the meantime, and
 * the paths in `without`. Throws SysError, and TOO_DEEP.
 */
export function walkParts(
  uppers: readonly string[],
  visit: (entry: PartEntry) => void,
  without: ReadonlySet<string> = NOTHING,
): void {
  const mounts = new Set<bigint>();
  const descend = (dirs: readonly Fd[], closed: boolean, prefix: string, depth: number) => {
    if (depth > MAX_DEPTH) throw new VeneerError("TOO_DEEP", `more than ${MAX_DEPTH} directories deep`);
    const names = new Set(dirs.flatMap((dir) => listFd(dir.number, prefix)));
    for (const name of [...names].sort()) ifStillThere(() => visitName(dirs, name, closed, prefix, depth));
  };
  const visitName = (dirs: readonly Fd[], name: string, closed: boolean, prefix: string, depth: number) => {
    const path = prefix + name;
    const found = without.has(path) ? undefined : look(dirs, name, mounts);
    if (!found || (closed && isWhiteout(found.stat, `${(found.merged[0] as Fd).path}/${name}`))) return;
    const { stat, merged, opaque } = found;
    visit({ path, name, stat, dir: (merged[0] as Fd).number, opaque });
    if (!isType(stat, S_IFDIR)) return;
    inside(merged, name, (inner) => descend(inner, closed || opaque, `${path}/`, depth + 1));
  };
  const roots: Fd[] = [];
  try {
    for (const upper of uppers) {
      const root = openat(AT_FDCWD, upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      roots.push(root);
      mounts.add(fstat(root.number).mountId);
    }
    descend(roots, false, "", 0);
  } finally {
    for (const root of roots) root[Symbol.dispose]();
  }
}

const NOTHING: ReadonlySet<string> = new Set();

/** Looks up a name in the parts: the topmost entry, and the directories that merge under it. */
function look(dirs: readonly Fd[], name: string, mounts: ReadonlySet<bigint>) {
  let top: ReturnType<typeof lstatMaybe>;
  const merged: Fd[] = [];
  for (const dir of dirs) {
    const stat = lstatMaybe(name, dir.number);
    if (!stat || !mounts.has(stat.mountId)) continue;
    if (!isType(stat, S_IFDIR))
      return top ? { stat: top, merged, opaque: true } : { stat, merged: [dir], opaque: false };
    top ??= stat;
    merged.push(dir);
    if (isOpaque(`${dir.path}/${name}`)) return { stat: top, merged, opaque: true };
  }
  return top && { stat: top, merged, opaque: false };
}

function inside(dirs: readonly Fd[], name: string, action: (inner: readonly Fd[]) => void): void {
  const inner: Fd[] = [];
  try {
    for (const dir of dirs) inner.push(openat(dir.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    action(inner);
  } finally {
    for (const fd of inner) fd[Symbol.dispose]();
  }
}
