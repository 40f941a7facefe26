/** Copies a tree that others may be writing to: by descriptor, without following symbolic links or entering mounts. */

import { VeneerError } from "../errors.ts";
import { MAX_DEPTH } from "../overlay/walk.ts";
import { onInterrupt, throwIfInterrupted, yieldToSignals } from "../process/interrupt.ts";
import { errno, isReplaced } from "../sys/errno.ts";
import { explainError } from "../sys/explain.ts";
import { type Fd, linkat, mkdirat, openat } from "../sys/fd.ts";
import {
  AT_FDCWD,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
} from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { fstat, isType, listFd, lstatMaybe, type Stat } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";
import { copyEntry, type EntryOptions } from "./copy-entry.ts";
import { setEntryAttributes } from "./entry-attributes.ts";
import { Omissions } from "./omissions.ts";
import { pathXattrs } from "./read-xattrs.ts";

export interface CopyOptions extends EntryOptions {
  /** aborts the work */
  readonly signal: AbortSignal;
  /** relative paths to leave out */
  readonly without?: ReadonlySet<string>;
  /** relative paths to copy, each directory before its contents; absent: everything */
  readonly only?: ReadonlySet<string>;
  /** called with the bytes of each file */
  readonly count?: (bytes: number) => void;
}

/** Entries between two checks for signals. */
const STRIDE = 512;

/** How often to retry an entry that is replaced while it is read. */
export const ATTEMPTS = 10;

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/**
 * Copies a directory to the existing, empty directory `target`: with reflinks where the file system supports them, and
 * with its hard links. Creates empty directories for mount points. Leaves out entries that disappear in the meantime,
 * and whiteouts and attributes of overlayfs, which it reports. Throws SysError, WRITE_FAILED, INTERRUPTED, TOO_DEEP,
 * and BUSY when an entry is replaced again and again.
 */
export async function copyTree(source: string, target: string, options: CopyOptions): Promise<void> {
  using from = openat(AT_FDCWD, source, O_RDONLY | O_DIRECTORY);
  using to = openat(AT_FDCWD, target, DIRECTORY);
  try {
    await new TreeCopy(to, fstat(from.number), options).directory(from, to, "", 0);
  } catch (error) {
    const hint = explainError(error);
    throw hint === undefined
      ? error
      : new VeneerError("WRITE_FAILED", "write to the store", { cause: error, hint });
  }
  setDirectoryAttributes(from, AT_FDCWD, `${to.path}/.`, ".", ".", fstat(from.number), options);
}

/** Like {@link copyTree}, but copies an upper with its whiteouts and marks, to `target`, which must not exist. */
export async function copyOverlay(
  source: string,
  target: string,
  overlay: "all" | "layer",
  options: Pick<CopyOptions, "pace" | "ready"> = {},
): Promise<void> {
  using interrupt = onInterrupt();
  mkdirat(AT_FDCWD, target, 0o700);
  await copyTree(source, target, {
    squash: false,
    omissions: new Omissions(),
    signal: interrupt.signal,
    overlay,
    ...options,
  });
}

class TreeCopy {
  /** the path in the copy of the first name of each hard-linked file, by inode */
  readonly #links = new Map<bigint, string>();
  #entries = 0;

  constructor(
    readonly root: Fd,
    readonly top: Stat,
    readonly options: CopyOptions,
  ) {}

  async directory(from: Fd, to: Fd, prefix: string, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw new VeneerError("TOO_DEEP", `more than ${MAX_DEPTH} directories deep`);
    for (const name of listFd(from.number, prefix)) {
      if (++this.#entries % STRIDE === 0) {
        await yieldToSignals();
        throwIfInterrupted(this.options.signal);
      }
      const { without, only, pace } = this.options;
      pace?.();
      if (!without?.has(prefix + name) && (!only || only.has(prefix + name)))
        await this.#entry(from, to, name, prefix + name, depth);
    }
  }

  async #entry(from: Fd, to: Fd, name: string, path: string, depth: number): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const stat = lstatMaybe(name, from.number);
      if (!stat) return;
      try {
        if (isType(stat, S_IFDIR)) return await this.#subdirectory(from, to, name, path, stat, depth);
        return this.#file(from, to, name, path, stat);
      } catch (error) {
        // replaced or removed between two calls
        if (!isReplaced(error) || lstatMaybe(name, to.number)) throw error;
      }
    }
    throw new VeneerError("BUSY", `${quote(path)} is replaced again and again while it is copied`);
  }

  async #subdirectory(
    from: Fd,
    to: Fd,
    name: string,
    path: string,
    seen: Stat,
    depth: number,
  ): Promise<void> {
    if (seen.mountId !== this.top.mountId) {
      mkdirat(to.number, name, 0o700);
      // with the attributes of the mounted directory, like cp -x
      using mounted = openat(from.number, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
      setDirectoryAttributes(
        mounted,
        to.number,
        `${to.path}/${name}`,
        name,
        path,
        fstat(mounted.number),
        this.options,
      );
      return;
    }
    using inner = openat(from.number, name, DIRECTORY);
    const stat = fstat(inner.number);
    if (stat.mountId !== this.top.mountId) return;
    mkdirat(to.number, name, 0o700);
    {
      using copy = openat(to.number, name, DIRECTORY);
      await this.directory(inner, copy, `${path}/`, depth + 1);
    }
    const at = `${to.path}/${name}`;
    setDirectoryAttributes(inner, to.number, at, name, path, fstat(inner.number), this.options);
  }

  #file(from: Fd, to: Fd, name: string, path: string, stat: Stat): void {
    if (stat.mountId !== this.top.mountId) return;
    const { omissions, overlay } = this.options;
    if (isType(stat, S_IFCHR) && stat.rdevMajor === 0 && stat.rdevMinor === 0) {
      if (overlay === undefined) {
        omissions.add("overlay whiteout", path);
        return;
      }
    } else if ((isType(stat, S_IFCHR) || isType(stat, S_IFBLK)) && inUserNamespace()) {
      omissions.add("device", path);
      return;
    }
    const first = stat.nlink > 1 ? this.#links.get(stat.ino) : undefined;
    if (first !== undefined) {
      const made = linkat(this.root.number, first, to.number, name);
      if (made === 0) return;
      // at the link limit, or when the path is too long, make a separate file
      if (![errno.EMLINK, errno.ENAMETOOLONG].includes(-made)) check(made, "link", path);
    }
    const copied = copyEntry(from, name, to, name, this.options, stat, path);
    this.options.count?.(copied.size);
    if (copied.nlink > 1 && first === undefined) this.#links.set(copied.ino, path);
  }
}

function setDirectoryAttributes(
  from: Fd,
  dir: number,
  at: string,
  name: string,
  shown: string,
  stat: Stat,
  options: CopyOptions,
): void {
  const { mode, uid, gid, mtime } = stat;
  const xattrs = pathXattrs(`${from.path}/.`);
  const attributes = { mode: mode & 0o7777, uid, gid, mtime, xattrs };
  setEntryAttributes(dir, dir === AT_FDCWD ? at : name, at, shown, attributes, {
    ...options,
    type: "directory",
  });
}
