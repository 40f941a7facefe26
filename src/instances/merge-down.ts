/**
 * Merges one part of an upper into the part below it, so that the lower part shows what both showed together. The
 * higher part does not change: files are hard-linked, directories created. A stack that still has the higher part on
 * top therefore shows the same at every moment, and after a kill the merge is simply repeated.
 *
 * Rules for the lower part because of the base below it (overlayfs.rst, "whiteouts and opaque directories"): a
 * directory that replaces a file, a whiteout or an opaque directory becomes opaque, and a directory that hides the base
 * contains no whiteouts, because a listing would show them there.
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

/** Entries between two checks of `stopped`. */
const STRIDE = 64;

/** A directory of the covering tree, which hides names of the others; undefined where that tree has none. */
type Cover = Fd | undefined;

interface Work {
  /** on the same file system: new entries are prepared here and renamed into place, replaced entries end up here */
  readonly stagingDir: Fd;
  readonly stopped: () => boolean;
  readonly mountId: bigint;
  entries: number;
}

export interface LayOptions {
  /** returns true to end early */
  readonly stopped: () => boolean;
  /**
   * A tree above both, which may be written to in the meantime; entries that it hides are left out. The origin of a
   * copied-up file in it must not get a second link: overlayfs shows the inode number of the origin only while that has
   * a single link (ovl_getattr in fs/overlayfs/inode.c), and a database takes a changed number for another file.
   */
  readonly cover?: string | undefined;
}

/**
 * Merges the tree `higher` into the tree `lower` on the same file system. Replaced entries are left in `stagingDir`, a
 * staging directory. Returns false when `stopped` ended it early; then, and after an error, the caller repeats it from
 * the beginning. Nothing may write to either tree, and no overlay may have `lower` as a layer. Throws SysError,
 * TOO_DEEP, and BUSY when something is mounted in the tree.
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

/** Whether the covering tree hides that name; its own overlay keeps it hidden from then on. */
function isHidden(over: Cover, name: string): boolean {
  const top = over && lstatMaybe(name, over.number);
  if (!over || !top) return false;
  if (!isType(top, S_IFDIR)) return true;
  try {
    // a directory that is not opaque merges with what is below, and a file there hides what is further below
    return isOpaque(`${over.path}/${name}`);
  } catch (error) {
    // removed just now, which left a whiteout
    if (isErrno(error, "ENOENT")) return true;
    throw error;
  }
}

/** `hides`: the directory `to` hides the base. */
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
      // copied up in the meantime
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
 * Attributes that must also hold for the merged directory: `impure` says that it contains files with an origin, and
 * `origin` that it may contain whiteouts.
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
    // atomically: with nothing in its place for a moment, the directory of the base would show
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

/** Atomically replaces `below` by the staged entry; after an exchange `below` is in the staging directory. */
function replace(work: Work, staged: string, to: Fd, name: string, below: Stat, exchange = true): void {
  const flags = exchange || isType(below, S_IFDIR) ? RENAME_EXCHANGE : 0;
  rename(staged, name, flags, work.stagingDir.number, to.number);
}
