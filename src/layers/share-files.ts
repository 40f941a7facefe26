/**
 * Shares equal files between layers through hard links, so that they use one inode, on disk and in the page cache. A
 * file is shared only with files at the same path, so that no merged view and no export gets hard links that its makers
 * did not create. Layers are immutable, so nobody can change one through another.
 */
import { sameEntry } from "../overlay/same-entry.ts";
import { MAX_DEPTH } from "../overlay/walk.ts";
import type { Progress } from "../process/progress.ts";
import { lockLayers, readSoundLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { namesIn } from "../store/versions.ts";
import { errno } from "../sys/errno.ts";
import { type Fd, linkat, openDirectory, openDirectoryMaybe, rename } from "../sys/fd.ts";
import { S_IFDIR, S_IFREG } from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { fstat, isType, listFd, lstatMaybe, type Stat, setTime } from "../sys/stat.ts";

/** Directories where link counts do not matter; cron, sudo and others check them below /etc and /var. */
const PLACES = ["usr", "opt", "lib", "lib32", "lib64", "libx32"];
/** Bytes; a smaller file costs one block and hardly any memory. */
const LEAST = 4096;
/** Reading a file includes its holes: files larger than this factor times their blocks are not shared. */
const MOST_SPARSE = 64;
/** The number of layers to search, half the newest and half the largest: each costs a look-up per file. */
const MOST_LAYERS = 40;

export interface SharedFiles {
  readonly files: number;
  /** disk space that the layer no longer uses */
  readonly bytes: number;
}

/** Whether a file has other names in its own tree, and is therefore not shared. `path` is relative to the tree. */
export type IsLinked = (path: string, stat: Stat) => boolean;

/**
 * Replaces files of `tree`, an unused layer, by hard links to equal files in the layers `ids`: equal in path, content,
 * mode, owner, time and extended attributes. Keeps the times of directories. The caller holds the lock of the layers.
 * Durable after {@link syncStore}; the tree is the same at every moment, also after a kill.
 */
export function shareFiles(
  store: Store,
  tree: string,
  ids: readonly string[],
  isLinked: IsLinked,
): SharedFiles {
  const others: Fd[] = [];
  try {
    for (const id of ids) {
      const other = openDirectoryMaybe(paths.layerTree(store, id));
      if (other) others.push(other);
    }
    if (others.length === 0) return { files: 0, bytes: 0 };
    using staging = makeStaging(store);
    using scratch = openDirectory(staging.path);
    using root = openDirectory(tree);
    const sharing = new Sharing(scratch, isLinked, fstat(root.number).dev);
    for (const place of PLACES) sharing.enter(root.number, others, place, place, 1);
    return sharing.result;
  } finally {
    for (const fd of others) fd[Symbol.dispose]();
  }
}

/** In a new layer, every file with several names was linked by its makers. */
const linkedByMakers: IsLinked = (_path, stat) => stat.nlink > 1;

/**
 * Shares the files of a new layer like {@link shareFiles}, unless `share` is false; returns the bytes that it no longer
 * uses on disk. Durable after {@link syncStore}, like the tree of the layer.
 */
export function shareNew(store: Store, tree: string, progress: Progress, share = true): number {
  if (!share) return 0;
  progress.step("looking for files that other layers have");
  using _layers = lockLayers(store);
  return shareFiles(store, tree, layersToShare(store), linkedByMakers).bytes;
}

/** The ids of the layers in which to search for equal files; leaves out damaged layers. */
export function layersToShare(store: Store, without?: string): string[] {
  const known = namesIn(paths.layers(store)).flatMap((id) => {
    const layer = id === without ? undefined : readSoundLayer(store, id);
    return layer ? [{ id, ...layer }] : [];
  });
  const newest = known.toSorted((a, b) => (a.created < b.created ? 1 : -1)).slice(0, MOST_LAYERS / 2);
  const largest = known
    .filter((layer) => !newest.includes(layer))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, MOST_LAYERS / 2);
  return [...largest, ...newest].map(({ id }) => id);
}

class Sharing {
  #files = 0;
  #bytes = 0;
  #count = 0;

  constructor(
    readonly scratch: Fd,
    readonly isLinked: IsLinked,
    readonly device: string,
  ) {}

  get result(): SharedFiles {
    return { files: this.#files, bytes: this.#bytes };
  }

  /** Enters the directory `name` of `dir` together with those of the same name in the others. */
  enter(dir: number, others: readonly Fd[], name: string, path: string, depth: number): void {
    if (depth > MAX_DEPTH) return;
    using own = openDirectoryMaybe(name, dir);
    if (!own) return;
    const there: Fd[] = [];
    try {
      for (const other of others) {
        const inner = openDirectoryMaybe(name, other.number);
        if (inner) there.push(inner);
      }
      if (there.length > 0) this.#directory(own.number, there, path, depth);
    } finally {
      for (const fd of there) fd[Symbol.dispose]();
    }
  }

  #directory(dir: number, others: readonly Fd[], path: string, depth: number): void {
    const { mtime } = fstat(dir);
    let changed = false;
    for (const name of listFd(dir, path)) {
      const stat = lstatMaybe(name, dir);
      const inner = `${path}/${name}`;
      if (isType(stat, S_IFDIR)) this.enter(dir, others, name, inner, depth + 1);
      else if (stat && this.#mayShare(stat) && !this.isLinked(inner, stat)) {
        changed = this.#share(dir, others, name, stat) || changed;
      }
    }
    if (changed) setTime(".", mtime, dir);
  }

  #mayShare(stat: Stat): boolean {
    return isType(stat, S_IFREG) && stat.size >= LEAST && stat.size <= MOST_SPARSE * stat.blocks * 512;
  }

  /** Shares one file; returns whether that changed the directory. */
  #share(dir: number, others: readonly Fd[], name: string, stat: Stat): boolean {
    const found = others.flatMap((other) => {
      const there = lstatMaybe(name, other.number);
      return there && this.#looksSame(stat, there) ? [{ dir: other.number, path: name, stat: there }] : [];
    });
    if (found.some(({ stat: there }) => there.ino === stat.ino)) return false;
    for (const one of found) {
      if (!sameEntry({ dir, path: name, stat }, one) || !this.#link(one.dir, dir, name)) continue;
      this.#files++;
      this.#bytes += stat.nlink > 1 ? 0 : stat.blocks * 512;
      return true;
    }
    return false;
  }

  #looksSame(a: Stat, b: Stat): boolean {
    const sameTime = a.mtime.seconds === b.mtime.seconds && a.mtime.nanoseconds === b.mtime.nanoseconds;
    return isType(b, S_IFREG) && b.dev === this.device && a.size === b.size && sameTime;
  }

  /** Atomically replaces `name` by a link to the other file; returns false at the link limit of the file system. */
  #link(from: number, to: number, name: string): boolean {
    const temporary = String(this.#count++);
    const result = linkat(from, name, this.scratch.number, temporary);
    if ([errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOENT].includes(-result)) return false;
    check(result, "link", name);
    rename(temporary, name, 0, this.scratch.number, to);
    return true;
  }
}
