/**
 * The listing of a tree: one sorted line for each entry, with everything except the contents of files. Two trees with
 * the same listing can differ only in the contents of files of equal size and time.
 */
import { openat, readlink } from "../sys/fd.ts";
import {
  AT_FDCWD,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../sys/flags.ts";
import { fstat, lgetxattr, listFd, listxattr, lstatMaybe, type Stat } from "../sys/stat.ts";

export interface Listing {
  /** number of entries, including the root */
  readonly entries: number;
  /** space allocated on disk; counts hard links once */
  readonly bytes: number;
}

/**
 * Relabelling a store does not change a base; the other attributes are bookkeeping of overlayfs in an upper, with inode
 * numbers that are different in a copy.
 */
const IGNORED_XATTRS = new Set([
  "security.selinux",
  ...["trusted", "user"].flatMap((kind) =>
    ["impure", "nlink", "origin", "uuid"].map((name) => `${kind}.overlay.${name}`),
  ),
]);

/**
 * Walks a tree and calls `emit` for each entry with its path (relative, `.` for the root), its line, whose fields
 * contain no space or newline, and, for further names of a hard-linked file, the first one. Does not follow symbolic
 * links. Throws SysError.
 */
export function listTree(
  directory: string,
  emit: (path: string, line: string, stat: Stat, hardLink: string | undefined) => void,
): Listing {
  const seen = new Map<bigint, string>();
  const total = { entries: 0, bytes: 0 };
  const visit = (path: string, stat: Stat, absolute: string) => {
    const first = isDirectory(stat) || stat.nlink < 2 ? undefined : seen.get(stat.ino);
    if (first === undefined) {
      if (stat.nlink > 1 && !isDirectory(stat)) seen.set(stat.ino, path);
      total.bytes += stat.blocks * 512;
    }
    total.entries++;
    const line =
      first === undefined ? describe(path, stat, absolute) : `${escapePath(path)} link=${escapePath(first)}`;
    emit(path, line, stat, first);
  };
  const descend = (dir: number, name: string, prefix: string) => {
    using fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (prefix === "") visit(".", fstat(fd.number), `${fd.path}/.`);
    for (const entry of listFd(fd.number, directory).sort()) {
      const stat = lstatMaybe(entry, fd.number);
      if (!stat) continue;
      visit(prefix + entry, stat, `${fd.path}/${entry}`);
      if (isDirectory(stat)) descend(fd.number, entry, `${prefix}${entry}/`);
    }
  };
  descend(AT_FDCWD, directory, "");
  return total;
}

function isDirectory(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

/** `usr/bin/ping mode=100755 owner=0:0 size=90568 time=1675329852.0 security.capability=0100…` */
function describe(path: string, stat: Stat, absolute: string): string {
  const type = stat.mode & S_IFMT;
  let text = `${escapePath(path)} mode=${stat.mode.toString(8)} owner=${stat.uid}:${stat.gid}`;
  if (type === S_IFREG) text += ` size=${stat.size}`;
  else if (type === S_IFCHR || type === S_IFBLK) text += ` device=${stat.rdevMajor}:${stat.rdevMinor}`;
  else if (type === S_IFLNK) text += ` to=${escapePath(readlink(absolute) ?? "")}`;
  text += ` time=${stat.mtime.seconds}.${stat.mtime.nanoseconds}`;
  for (const name of listxattr(absolute).sort()) {
    if (!IGNORED_XATTRS.has(name)) text += ` ${escapePath(name)}=${lgetxattr(absolute, name)?.toHex() ?? ""}`;
  }
  return text;
}

/** Escapes control characters, space, `=`, backslash and bytes that are not UTF-8 as `\ooo`. */
function escapePath(path: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
  return path.replace(/[\u0000-\u0020=\\\u007f]|[\udc80-\udcff]/gu, (c) => {
    const code = c.charCodeAt(0);
    return `\\${(code > 0xff ? code - 0xdc00 : code).toString(8).padStart(3, "0")}`;
  });
}

/** Undoes {@link escapePath}. */
export function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal) => {
    const code = Number.parseInt(octal, 8);
    return String.fromCharCode(code > 0x7f ? code + 0xdc00 : code);
  });
}
