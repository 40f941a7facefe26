/** Compares two trees side by side, by descriptor, without following symbolic links. */
import { VeneerError } from "../errors.ts";
import { type Located, sameEntry } from "../overlay/same-entry.ts";
import { MAX_DEPTH } from "../overlay/walk.ts";
import { ifStillThere } from "../sys/errno.ts";
import { type Fd, openat } from "../sys/fd.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFREG } from "../sys/flags.ts";
import { fstat, isType, listFd, lstatMaybe, type Stat } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import { ATTEMPTS } from "../trees/copy-tree.ts";

/** Paths are relative to the roots. Contents of added directories are listed, those of removed directories are not. */
export interface TreeDifference {
  readonly added: readonly string[];
  /** with a different type, content, mode, owner, link target, device or extended attribute; directories too */
  readonly changed: readonly string[];
  /** different only in modification time */
  readonly touched: readonly string[];
  readonly removed: readonly string[];
  /** added or changed directories that replace an entry of another type */
  readonly replaced: readonly string[];
  /** of all regular files in the new tree, and of those that were added, changed or touched */
  readonly bytes: { readonly all: number; readonly different: number };
}

export interface CompareOptions {
  /** paths of the new tree to treat as missing */
  readonly without?: ReadonlySet<string>;
  /** stop when more than times differs and the share of different bytes exceeds `share`, after at least `least` bytes */
  readonly most?: { readonly share: number; readonly least: number };
}

/**
 * Compares the directory `after` with the directory `before`. Treats a mount point below `after` as an empty directory.
 * When one hard link of a file differs, all do. Returns undefined when {@link CompareOptions.most} is exceeded. Throws
 * SysError, TOO_DEEP, and BUSY when an entry is replaced again and again.
 */
export function compareTrees(
  before: Fd,
  after: Fd,
  options: CompareOptions = {},
): TreeDifference | undefined {
  const comparison = new Comparison(fstat(after.number).dev, options);
  return comparison.directory(before.number, after.number, "", 0) ? comparison.result() : undefined;
}

class Comparison {
  readonly #added: string[] = [];
  readonly #changed: string[] = [];
  readonly #touched: string[] = [];
  readonly #removed: string[] = [];
  readonly #replaced: string[] = [];
  #all = 0;
  #different = 0;
  /** by inode: the equal names of files with several names, and whether the file differs under another name */
  readonly #linked = new Map<bigint, { paths: string[]; size: number; different: boolean }>();

  constructor(
    readonly device: string,
    readonly options: CompareOptions,
  ) {}

  /** Compares a directory; returns false to stop the whole comparison. */
  directory(before: number | undefined, after: number, prefix: string, depth: number): boolean {
    if (depth > MAX_DEPTH) throw new VeneerError("TOO_DEEP", `more than ${MAX_DEPTH} directories deep`);
    if (prefix === "") this.#compareRoots(before as number, after);
    const names = new Set(listFd(after, prefix));
    if (before !== undefined) {
      for (const name of listFd(before, prefix).sort()) {
        if (!names.has(name) || this.options.without?.has(prefix + name)) this.#removed.push(prefix + name);
      }
    }
    for (const name of [...names].sort()) {
      if (this.options.without?.has(prefix + name)) continue;
      if (!this.#entry(before, after, name, prefix, depth)) return false;
    }
    return true;
  }

  #compareRoots(before: number, after: number): void {
    const [old, now] = [before, after].map((dir) => ({ dir, path: ".", stat: fstat(dir) }));
    if (!sameEntry(now as Located, old as Located)) this.#changed.push(".");
    else if (!sameTime((now as Located).stat, (old as Located).stat)) this.#touched.push(".");
  }

  #entry(before: number | undefined, after: number, name: string, prefix: string, depth: number): boolean {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const same = ifStillThere(() => this.#look(before, after, name, prefix, depth));
      if (same !== undefined) return same;
    }
    throw new VeneerError("BUSY", `${quote(prefix + name)} is replaced again and again while it is compared`);
  }

  #look(before: number | undefined, after: number, name: string, prefix: string, depth: number): boolean {
    const stat = lstatMaybe(name, after);
    if (!stat) return true;
    const path = prefix + name;
    const old = before === undefined ? undefined : lstatMaybe(name, before);
    const descends = isType(stat, S_IFDIR) && stat.dev === this.device;
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    using inner = descends ? openat(after, name, flags) : undefined;
    using below = inner && isType(old, S_IFDIR) ? openat(before as number, name, flags) : undefined;
    this.#note(path, stat, before, old, { dir: after, path: name, stat });
    if (this.#exceeded()) return false;
    if (!inner) return true;
    if (old && !below) this.#replaced.push(path);
    return this.directory(below?.number, inner.number, `${path}/`, depth + 1);
  }

  #note(path: string, stat: Stat, before: number | undefined, old: Stat | undefined, now: Located): void {
    const size = isType(stat, S_IFREG) ? stat.size : 0;
    const name = now.path;
    const same = old !== undefined && sameEntry(now, { dir: before as number, path: name, stat: old });
    this.#all += size;
    const list = old === undefined ? this.#added : same ? this.#touched : this.#changed;
    const equal = same && sameTime(stat, old);
    if (stat.nlink > 1 && isType(stat, S_IFREG)) this.#noteLinked(path, stat, equal);
    if (equal) return;
    list.push(path);
    this.#different += size;
  }

  #noteLinked(path: string, { ino, size }: Stat, equal: boolean): void {
    const known = this.#linked.get(ino) ?? { paths: [], size, different: false };
    if (equal) known.paths.push(path);
    else known.different = true;
    this.#linked.set(ino, known);
  }

  #exceeded(): boolean {
    const { most } = this.options;
    return most !== undefined && this.#all >= most.least && this.#differsMuch(most.share);
  }

  /** Where times alone differ, however many, the trees are the same. */
  #differsMuch(share: number): boolean {
    const entries = this.#added.length + this.#changed.length + this.#removed.length;
    return entries > 0 && this.#different > this.#all * share;
  }

  result(): TreeDifference | undefined {
    for (const { paths, size, different } of this.#linked.values()) {
      if (!different) continue;
      this.#touched.push(...paths);
      this.#different += paths.length * size;
    }
    const { most } = this.options;
    if (most && this.#differsMuch(most.share)) return undefined;
    return {
      added: this.#added,
      changed: this.#changed,
      touched: this.#touched,
      removed: this.#removed,
      replaced: this.#replaced,
      bytes: { all: this.#all, different: this.#different },
    };
  }
}

/** Ignores nanoseconds when one side has none, because most archives store whole seconds. */
function sameTime(a: Stat, b: Stat): boolean {
  const [one, two] = [a.mtime.nanoseconds, b.mtime.nanoseconds];
  return a.mtime.seconds === b.mtime.seconds && (one === two || one === 0 || two === 0);
}

/** Whether the trees are equal except for times. */
export function isSame({ added, changed, removed }: TreeDifference): boolean {
  return added.length + changed.length + removed.length === 0;
}
