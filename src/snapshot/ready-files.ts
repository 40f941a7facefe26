/** Copies the files of an upper while its container still runs, so that it stands still for those alone that changed since. */
import { walkChanging } from "../overlay/walk.ts";
import { throwIfInterrupted, yieldToSignals } from "../process/interrupt.ts";
import { isReplaced } from "../sys/errno.ts";
import { type Fd, mkdirat, openat, syncfs, unlinkQuietly } from "../sys/fd.ts";
import { fileSystemMagic } from "../sys/files/data.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFREG } from "../sys/flags.ts";
import { isType, lstatMaybe, type Stat } from "../sys/stat.ts";
import { copyEntry, type EntryOptions, type ReadyFiles } from "../trees/copy-entry.ts";
import { changedAt, TICK } from "./stillness.ts";

/**
 * File systems that write-protect a mapped page when they write it back, so that each later change of it gives the file
 * another ctime (statfs(2)): ext4, xfs, btrfs. On others nothing is copied beforehand.
 */
const TRUSTED = [0xef53, 0x58465342, 0x9123683e];

/** Files between two looks at signals. */
const STRIDE = 64;

/**
 * Copies all files of the trees that have one name into `directory`, which is made, on the same file system. Those that
 * change in the midst, or were changed too lately to tell, are not taken. Throws INTERRUPTED.
 */
export async function copyBeforehand(
  trees: readonly string[],
  directory: string,
  signal: AbortSignal,
  options: EntryOptions,
): Promise<ReadyFiles> {
  mkdirat(AT_FDCWD, directory, 0o700);
  using to = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  const ready = new Map<string, { name: string; stat: Stat }>();
  let count = 0;
  for (const tree of trees) {
    using root = openat(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!TRUSTED.includes(fileSystemMagic(root.number))) continue;
    // what is mapped and was written before is clean afterwards, and shows by its ctime when it is written again
    const before = Date.now() - TICK;
    syncfs(root.number, tree);
    for (const path of filesOf(tree)) {
      if (++count % STRIDE === 0) await yieldToSignals();
      throwIfInterrupted(signal);
      const name = String(count);
      const stat = copyOne(root, path, to, name, options, before);
      if (stat) ready.set(keyOf(stat), { name, stat });
    }
  }
  return {
    take(stat) {
      const key = keyOf(stat);
      const found = ready.get(key);
      if (!found || !isSame(found.stat, stat)) return undefined;
      ready.delete(key);
      return `${directory}/${found.name}`;
    },
  };
}

function filesOf(tree: string): string[] {
  const paths: string[] = [];
  walkChanging(tree, ({ path, stat }) => {
    if (isCopied(stat)) paths.push(path);
  });
  return paths;
}

/** A file with several names is one in the copy: that is decided when all of them are seen at once. */
function isCopied(stat: Stat): boolean {
  return isType(stat, S_IFREG) && stat.nlink === 1;
}

/** Its status before the copy; undefined where it is gone, something else, or was changed after `before` (milliseconds). */
function copyOne(root: Fd, path: string, to: Fd, name: string, options: EntryOptions, before: number) {
  const isOld = (stat: Stat) => isCopied(stat) && changedAt(stat) < before;
  try {
    const seen = lstatMaybe(path, root.number);
    if (!seen || !isOld(seen)) return undefined;
    // of the very file that is read: a directory on the way may have been exchanged since
    const stat = copyEntry(root, path, to, name, options, seen);
    return isOld(stat) ? stat : undefined;
  } catch (error) {
    if (!isReplaced(error)) throw error;
    unlinkQuietly(`${to.path}/${name}`);
    return undefined;
  }
}

function keyOf({ dev, ino }: Stat): string {
  return `${dev} ${ino}`;
}

function isSame(a: Stat, b: Stat): boolean {
  return (
    a.size === b.size && a.ctime.seconds === b.ctime.seconds && a.ctime.nanoseconds === b.ctime.nanoseconds
  );
}
