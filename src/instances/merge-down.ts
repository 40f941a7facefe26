/**
 * Lays one part of an upper over the part below it, so that the lower one shows what both showed together. The
 * higher part stays as it is: files are linked, directories made anew. So a stack with the higher part still on
 * top shows the same at every moment, whatever is done by then; a kill leaves work to be done again, no damage.
 *
 * What the lower part must keep in mind of the base below it (overlayfs.rst, "whiteouts and opaque directories"):
 * a directory that takes the place of a file, a whiteout or an opaque directory is opaque, and inside of one that
 * hides the base there are no whiteouts, which a listing would show there.
 */
import { VeneerError } from "../errors.ts";
import { isOpaque, isWhiteout, makeWhiteout, markOpaque } from "../overlay/marks.ts";
import { MAX_DEPTH } from "../overlay/walk.ts";
import { isOverlayXattr, overlayXattr } from "../overlay/xattrs.ts";
import { isErrno } from "../sys/errno.ts";
import {
  type Fd,
  linkat,
  mkdirat,
  openat,
  openDirectoryMaybe,
  rename,
  uniqueSuffix,
  unlink,
} from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RENAME_EXCHANGE, S_IFDIR } from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { fstat, isType, listFd, listxattr, lstatMaybe, type Stat } from "../sys/stat.ts";
import { copyAttributes } from "../trees/copy-attributes.ts";

/** Entries between two looks at whether to go on. */
const STRIDE = 64;

/** Of the tree that hides names of the others: a directory of it, or undefined where it has none. */
type Cover = Fd | undefined;

interface Work {
  /** an empty directory on the same file system: what is made here is renamed to its place, what is replaced ends here */
  readonly stagingDir: Fd;
  readonly stopped: () => boolean;
  readonly mountId: bigint;
  entries: number;
}

export interface LayOptions {
  /** says when to end early */
  readonly stopped: () => boolean;
  /**
   * A tree above both, which may be written to meanwhile: what it hides is left out. The file that one of its own
   * was copied from must not get another link: by its only name overlayfs knows the inode number to show
   * (ovl_getattr in fs/overlayfs/inode.c), which a database takes for another file when it changes.
   */
  readonly cover?: string | undefined;
}

/**
 * Lays the tree `higher` over the tree `lower`, whose file system is the same. `stagingDir` is a staging directory,
 * in which what was replaced is left. Returns false when `stopped` said so before all was done: then, or after an
 * error, it is done again from the beginning. Nothing may write to either tree, and no overlay may have `lower`
 * as a layer. Throws SysError, and VeneerError where the tree is too deep or holds a mount.
 */
export function layOver(
  higher: string,
  lower: string,
  stagingDir: Fd,
  { stopped, cover }: LayOptions,
): boolean {
  using from = openat(AT_FDCWD, higher, DIRECTORY);
  using to = openat(AT_FDCWD, lower, DIRECTORY);
  using over = cover === undefined ? undefined : openat(AT_FDCWD, cover, DIRECTORY);
  const work = { stagingDir, stopped, mountId: fstat(from.number).mountId, entries: 0 };
  return layDirectory(work, from, to, over, false, 0);
}

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/** Whether nothing of that name shows below the cover, whose own overlay keeps it so from then on. */
function isHidden(over: Cover, name: string): boolean {
  const top = over && lstatMaybe(name, over.number);
  if (!over || !top) return false;
  if (!isType(top, S_IFDIR)) return true;
  try {
    // one that is not opaque shows what is below, and needs a file there to hide what is further below
    return isOpaque(`${over.path}/${name}`);
  } catch (error) {
    // removed at this moment, which leaves a whiteout
    if (isErrno(error, "ENOENT")) return true;
    throw error;
  }
}

/** `hides`: the directory `to` shows nothing of the base. */
function layDirectory(work: Work, from: Fd, to: Fd, over: Cover, hides: boolean, depth: number): boolean {
  if (depth > MAX_DEPTH) throw new VeneerError("TOO_DEEP", `more than ${MAX_DEPTH} directories deep`);
  for (const name of listFd(from.number, from.path)) {
    if (++work.entries % STRIDE === 0 && work.stopped()) return false;
    const stat = lstatMaybe(name, from.number);
    if (!stat || isHidden(over, name)) continue;
    if (stat.mountId !== work.mountId) {
      throw new VeneerError("BUSY", `something is mounted on ${from.path}/${name}`, {
        hint: "unmount it: parts of an upper are merged only while nothing uses them",
      });
    }
    const below = lstatMaybe(name, to.number);
    if (isWhiteout(stat, `${from.path}/${name}`)) layWhiteout(work, to, name, below, hides);
    else if (!isType(stat, S_IFDIR)) {
      layFile(work, from, to, name, stat, below);
      // it was copied up meanwhile
      if (isHidden(over, name)) unlink(name, to.number);
    } else {
      using inner = over && openDirectoryMaybe(name, over.number);
      if (!laySubdirectory(work, from, to, inner, name, below, hides, depth)) return false;
    }
  }
  const had = new Set(listxattr(`${to.path}/.`));
  copyAttributes(
    `${from.path}/.`,
    `${to.path}/.`,
    (name) => !isOverlayXattr(name) || (isNote(name) && !had.has(name)),
  );
  return true;
}

/**
 * That a directory holds files with an origin is true of the lower one from now on; its own origin says that it may hold
 * whiteouts.
 */
const isNote = (name: string) => name === overlayXattr("impure") || name === overlayXattr("origin");

function layWhiteout(work: Work, to: Fd, name: string, below: Stat | undefined, hides: boolean): void {
  if (hides) {
    if (below) rename(name, uniqueSuffix(), 0, to.number, work.stagingDir.number);
  } else if (!below) makeWhiteout(to.number, name);
  else if (!isWhiteout(below, `${to.path}/${name}`)) {
    const staged = uniqueSuffix();
    makeWhiteout(work.stagingDir.number, staged);
    replace(work, staged, to, name, below);
  }
}

function layFile(work: Work, from: Fd, to: Fd, name: string, stat: Stat, below: Stat | undefined): void {
  if (below?.ino === stat.ino) return; // laid before
  if (!below) {
    check(linkat(from.number, name, to.number, name), "link", name);
    return;
  }
  const staged = uniqueSuffix();
  check(linkat(from.number, name, work.stagingDir.number, staged), "link", name);
  replace(work, staged, to, name, below, isType(below, S_IFDIR));
}

function laySubdirectory(
  work: Work,
  from: Fd,
  to: Fd,
  over: Cover,
  name: string,
  below: Stat | undefined,
  hides: boolean,
  depth: number,
): boolean {
  const opaque = isOpaque(`${from.path}/${name}`);
  const replaces = below !== undefined && (opaque || !isType(below, S_IFDIR));
  if (replaces) {
    // one step: without what was there before, the directory would merge with the base's
    const staged = uniqueSuffix();
    mkdirat(work.stagingDir.number, staged, 0o700);
    markOpaque(`${work.stagingDir.path}/${staged}`);
    replace(work, staged, to, name, below);
  } else if (!below) {
    mkdirat(to.number, name, 0o700);
    if (opaque) markOpaque(`${to.path}/${name}`);
  }
  using inner = openat(from.number, name, DIRECTORY);
  using target = openat(to.number, name, DIRECTORY);
  const closed = hides || opaque || replaces || isOpaque(`${to.path}/${name}`);
  return layDirectory(work, inner, target, over, closed, depth + 1);
}

/** Puts what is staged in the place of `below`, in one step; that is then in the staging directory, unless it was replaced. */
function replace(work: Work, staged: string, to: Fd, name: string, below: Stat, exchange = true): void {
  const flags = exchange || isType(below, S_IFDIR) ? RENAME_EXCHANGE : 0;
  rename(staged, name, flags, work.stagingDir.number, to.number);
}
