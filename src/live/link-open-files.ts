/**
 * Files that are open for writing during a live rebase, in a part that stays where it is: a descriptor opened before
 * writes to the inode there. That same inode is linked into the new upper under the same name, so the new root shows
 * it and writes to it: every process sees the same bytes, and nothing is copied up. (overlayfs keeps locks and
 * inotify watches on its own inodes, which differ between overlays, so these are not shared.)
 */

import { markImpure } from "../overlay/marks.ts";
import { ifStillThere } from "../sys/errno.ts";
import { type Fd, linkat, mkdirMaybe, openat2, openBelowMaybe, openDirectory, readSome } from "../sys/fd.ts";
import {
  O_DIRECTORY,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  RESOLVE_EXACT,
} from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { fstat, lstatMaybe, type Stat, setTime } from "../sys/stat.ts";
import { copyAttributes } from "../trees/copy-attributes.ts";
import type { Opened } from "./open-files.ts";

export interface Found {
  /** relative */
  readonly path: string;
  /** the part that has it: an index of the parts, 0 the top one */
  readonly part: number;
  /** names that the file has besides those in the parts */
  readonly otherNames: number;
}

/**
 * Finds the very file that a process has open in the parts (uppers, top first). Undefined where its name now leads to
 * another file or to none, so that nobody else sees what is written to it. `folded` are uppers that are no longer
 * layers, in which the file has links too.
 */
export function findInParts(
  parts: readonly Fd[],
  { path, stat }: Pick<Opened, "path" | "stat">,
  folded: readonly Fd[] = [],
): Found | undefined {
  const relative = path.slice(1);
  let found: { part: number; ino: bigint } | undefined;
  let names = 0;
  for (const [index, part] of parts.entries()) {
    const there = lookAt(part, relative);
    if (!there) continue;
    if (!found && !isSame(there, stat)) return undefined;
    found ??= { part: index, ino: there.ino };
    if (there.ino === found.ino) names++;
  }
  for (const part of found ? folded : []) if (lookAt(part, relative)?.ino === found?.ino) names++;
  return found && { path: relative, part: found.part, otherNames: Math.max(0, stat.nlink - names) };
}

const JOURNAL = "LPKSHHRH";

/**
 * Whether a file is a journal of systemd (systemd.io/JOURNAL_FILE_FORMAT): its only writer maps it for reading and
 * writing, and nobody locks it.
 */
export function isJournal(part: Fd, path: string): boolean {
  using parent = openParent(part, path);
  const flags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOATIME;
  using file = openat2(parent.number, nameOf(path), flags, RESOLVE_EXACT);
  const head = new Uint8Array(JOURNAL.length);
  return readSome(file.number, head, path) === JOURNAL.length && new TextDecoder().decode(head) === JOURNAL;
}

function lookAt(part: Fd, path: string): Stat | undefined {
  return ifStillThere(() => {
    using parent = openParent(part, path);
    return lstatMaybe(nameOf(path), parent.number);
  });
}

/** An overlay shows another inode number for a file that was copied up, but the same times. */
function isSame(a: Stat, b: Stat): boolean {
  return (
    a.mode === b.mode &&
    a.size === b.size &&
    a.nlink === b.nlink &&
    a.ctime.seconds === b.ctime.seconds &&
    a.ctime.nanoseconds === b.ctime.nanoseconds &&
    a.mtime.seconds === b.mtime.seconds &&
    a.mtime.nanoseconds === b.mtime.nanoseconds
  );
}

function openParent(root: Fd, path: string): Fd {
  const slash = path.lastIndexOf("/");
  return openat2(root.number, slash < 0 ? "." : path.slice(0, slash), O_PATH | O_DIRECTORY, RESOLVE_EXACT);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/**
 * Links the files into `upper`, with the directories above them as the parts show them; the times of directories
 * stay.
 */
export function linkFiles(parts: readonly Fd[], upper: Fd, files: readonly Found[]): void {
  const times = new Map<string, Stat["mtime"]>();
  for (const { path, part } of new Map(files.map((file) => [file.path, file])).values()) {
    const names = path.split("/").slice(0, -1);
    for (let depth = 1; depth <= names.length; depth++) {
      const directory = names.slice(0, depth).join("/");
      const mtime = times.has(directory) ? undefined : makeParent([upper, ...parts], upper, directory);
      if (mtime) times.set(directory, mtime);
    }
    using from = openParent(parts[part] as Fd, path);
    using to = openParent(upper, path);
    check(linkat(from.number, nameOf(path), to.number, nameOf(path)), "link", path);
    // it now holds a file that may have come from another layer: overlayfs must look up the inode numbers of its
    // listing
    markImpure(`${to.path}/.`);
  }
  for (const [directory, mtime] of [...times].reverse()) setTime(directory, mtime, upper.number);
}

/** Returns the time of the directory in the topmost part that has it, whose attributes the container sees. */
function makeParent(parts: readonly Fd[], upper: Fd, path: string): Stat["mtime"] | undefined {
  for (const part of parts) {
    using below = openBelowMaybe(part.number, path);
    if (!below) continue;
    const { mtime } = fstat(below.number);
    if (mkdirMaybe(path, 0o700, upper.number)) {
      using directory = openDirectory(path, upper.number);
      copyAttributes(`${below.path}/.`, `${directory.path}/.`);
    }
    return mtime;
  }
  return undefined;
}
