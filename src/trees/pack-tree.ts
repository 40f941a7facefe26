/** Writes a tar of a tree that may be changing: by descriptor, without following symbolic links or entering mounts. */

import { VeneerError } from "../errors.ts";
import { isReplaced } from "../sys/errno.ts";
import { type Fd, openat, readlink, readSome } from "../sys/fd.ts";
import { lseek, SEEK_SET } from "../sys/files/data.ts";
import { openRegular } from "../sys/files/regular.ts";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { fstat, isType, listFd, lstatMaybe, type Stat } from "../sys/stat.ts";
import { BLOCK } from "../tar/header.ts";
import { formatAcl } from "../tar/posix-acl.ts";
import type { Extent } from "../tar/sparse.ts";
import { encodeMap, extentsOf } from "../tar/sparse-map.ts";
import { encodeEntry, type NewEntry, paddingOf } from "../tar/write-entry.ts";
import { quote } from "../text/quote.ts";
import { fileXattrs, pathXattrs } from "./read-xattrs.ts";

export interface PackedEntry {
  /** relative to the root; `.` for the root */
  readonly path: string;
  readonly name: string;
  readonly stat: Stat;
  /** all, including those of overlayfs */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** An entry that marks a deletion, written without data. */
export interface Marker {
  readonly name: string;
  readonly mtime: Stat["mtime"];
}

export interface PackOptions {
  /** write ACLs also as text, for GNU tar and star, in addition to the raw attributes */
  readonly aclTexts: boolean;
  /** relative paths to leave out */
  readonly without: ReadonlySet<string>;
  /** files may change while they are read */
  readonly isLiving: boolean;
  /**
   * returns what to write for an entry: a marker instead of it, or one inside it; undefined: only the entry. May throw
   */
  readonly translate?: (
    entry: PackedEntry,
  ) => { readonly instead?: Marker; readonly inside?: Marker } | undefined;
}

export interface PackedTree {
  /** number of sockets, which tar cannot hold */
  sockets: number;
}

/** Bytes of a file to read in one call. */
const CHUNK = 1 << 20;

/** The deepest nesting, because a directory is open on each level. */
const MAX_DEPTH = 2000;

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

interface Level {
  readonly fd: Fd;
  readonly prefix: string;
  readonly names: string[];
}

/**
 * Packs an open directory, without other file systems mounted in it, as a tar: sorted, directories before their
 * contents. The same tree gives the same bytes. Fills in `told` on the way. Leaves out entries that disappear in the
 * meantime; pads a file that shrinks with zeros in a living tree, otherwise throws BUSY. Throws SysError, TOO_DEEP,
 * NO_IMAGE.
 */
export async function* packTree(
  tree: Fd,
  told: PackedTree,
  options: PackOptions,
): AsyncGenerator<Uint8Array> {
  const links = new Map<bigint, string>();
  const levels: Level[] = [];
  const open = (dir: number, name: string, prefix: string): Fd | undefined => {
    if (levels.length > MAX_DEPTH)
      throw new VeneerError("TOO_DEEP", `more than ${MAX_DEPTH} directories deep`);
    const fd = openat(dir, name, DIRECTORY);
    levels.push({ fd, prefix, names: listFd(fd.number, prefix).sort().reverse() });
    return fd;
  };
  try {
    const top = open(tree.number, ".", "") as Fd;
    const { mountId } = fstat(top.number);
    yield* directoryEntries(top, ".", ".", options);
    for (let level = levels.at(-1); level; level = levels.at(-1)) {
      const name = level.names.pop();
      if (name === undefined) {
        level.fd[Symbol.dispose]();
        levels.pop();
        continue;
      }
      const path = level.prefix + name;
      if (options.without.has(path)) continue;
      const stat = lstatMaybe(name, level.fd.number);
      if (!stat) continue;
      try {
        if (isType(stat, S_IFDIR)) {
          const fd =
            stat.mountId === mountId
              ? open(level.fd.number, name, `${path}/`)
              : openDirectoryNoFollow(level.fd, name);
          if (fd) yield* directoryEntries(fd, path, name, options);
          if (fd && stat.mountId !== mountId) fd[Symbol.dispose]();
        } else if (isType(stat, S_IFSOCK)) told.sockets++;
        else if (stat.mountId === mountId) yield* fileEntries(level.fd, path, name, stat, links, options);
      } catch (error) {
        // replaced or removed between two calls: leave it out
        if (!isReplaced(error)) throw error;
      }
    }
  } finally {
    for (const { fd } of levels) fd[Symbol.dispose]();
  }
  yield new Uint8Array(2 * BLOCK);
}

/** Opens a directory itself, which is also right for a mount point, whose contents are not packed. */
function openDirectoryNoFollow(dir: Fd, name: string): Fd {
  return openat(dir.number, name, DIRECTORY);
}

function* directoryEntries(fd: Fd, path: string, name: string, options: PackOptions): Generator<Uint8Array> {
  const stat = fstat(fd.number);
  const xattrs = pathXattrs(`${fd.path}/.`);
  const translated = options.translate?.({ path, name, stat, xattrs });
  yield encodeEntry({ ...common(path, stat, xattrs, options), type: "directory", size: 0 });
  if (translated?.inside) yield marker(translated.inside);
}

async function* fileEntries(
  dir: Fd,
  path: string,
  name: string,
  seen: Stat,
  links: Map<bigint, string>,
  options: PackOptions,
): AsyncGenerator<Uint8Array> {
  const isFile = isType(seen, S_IFREG);
  using fd = isFile ? openRegular(dir.number, name) : undefined;
  const stat = fd ? fstat(fd.number) : seen;
  // replaced in the meantime
  if (isFile && !fd) return;
  const xattrs = fd ? fileXattrs(fd) : pathXattrs(`${dir.path}/${name}`);
  const translated = options.translate?.({ path, name, stat, xattrs });
  if (translated?.instead) {
    yield marker(translated.instead);
    return;
  }
  const base = common(path, stat, xattrs, options);
  const first = stat.nlink > 1 ? links.get(stat.ino) : undefined;
  if (first !== undefined) {
    yield encodeEntry({ ...base, records: [], type: "hard link", link: first, size: 0 });
    return;
  }
  if (stat.nlink > 1) links.set(stat.ino, path);
  if (fd) return yield* withData(fd, path, stat, base, options.isLiving);
  if (isType(stat, S_IFLNK)) {
    const link = readlink(name, dir.number);
    if (link !== undefined) yield encodeEntry({ ...base, mode: 0o777, type: "symbolic link", link, size: 0 });
    return;
  }
  const type = { [S_IFCHR]: "character device", [S_IFBLK]: "block device", [S_IFIFO]: "fifo" }[
    stat.mode & S_IFMT
  ];
  if (type === undefined) throw new VeneerError("NO_IMAGE", `${quote(path)} has a type that no tar holds`);
  const device = type === "fifo" ? {} : { major: stat.rdevMajor, minor: stat.rdevMinor };
  yield encodeEntry({ ...base, ...device, type: type as NewEntry["type"], size: 0 });
}

async function* withData(
  fd: Fd,
  path: string,
  stat: Stat,
  base: Omit<NewEntry, "type" | "size">,
  isLiving: boolean,
): AsyncGenerator<Uint8Array> {
  const { size, blocks } = stat;
  const sparse = blocks * 512 < size ? extentsOf(fd.number, size, path) : undefined;
  if (!sparse) {
    yield encodeEntry({ ...base, type: "file", size });
    yield* data(fd, path, { offset: 0, length: size }, isLiving);
    yield new Uint8Array(paddingOf(size));
    return;
  }
  const { map, extents } = encodeMap(sparse, size);
  const length = extents.reduce((sum, extent) => sum + extent.length, 0);
  yield encodeEntry({ ...base, type: "file", size: map.length + length, sparse: { size } });
  yield map;
  for (const extent of extents) yield* data(fd, path, extent, isLiving);
  yield new Uint8Array(paddingOf(length));
}

function* data(fd: Fd, path: string, { offset, length }: Extent, isLiving: boolean): Generator<Uint8Array> {
  if (length === 0) return;
  check(lseek(fd.number, offset, SEEK_SET), "lseek", path);
  for (let left = length; left > 0; ) {
    const buffer = new Uint8Array(Math.min(left, CHUNK));
    const count = readSome(fd.number, buffer, path);
    if (count === 0 && !isLiving) {
      throw new VeneerError("BUSY", `${quote(path)} became shorter while it was read`);
    }
    const piece = count === 0 ? buffer : buffer.subarray(0, count);
    left -= piece.length;
    yield piece;
  }
}

function marker({ name, mtime }: Marker): Uint8Array {
  return encodeEntry({ name, type: "file", mode: 0o644, uid: 0, gid: 0, mtime, size: 0 });
}

/** Attributes to leave out: labels of SELinux belong to a host, those of overlayfs to an overlay. */
const LEFT_OUT = /^(security\.selinux|(trusted|user)\.overlay\..*)$/s;

function common(
  path: string,
  { mode, uid, gid, mtime }: Stat,
  xattrs: ReadonlyMap<string, Uint8Array>,
  options: PackOptions,
): Omit<NewEntry, "type" | "size"> {
  const records: [string, Uint8Array][] = [];
  for (const [name, value] of [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (LEFT_OUT.test(name)) continue;
    const acl = options.aclTexts ? /^system\.posix_acl_(access|default)$/.exec(name)?.[1] : undefined;
    const text = acl === undefined ? undefined : formatAcl(value);
    if (text !== undefined) records.push([`SCHILY.acl.${acl}`, new TextEncoder().encode(text)]);
    // the key of a record ends at the first =; engines do not undo GNU tar's form, so it is used for nothing else
    records.push([`SCHILY.xattr.${name.replace(/%(?=25|3D)/g, "%25").replaceAll("=", "%3D")}`, value]);
  }
  return { name: path, mode: mode & 0o7777, uid, gid, mtime, records };
}
