/**
 * One inode for files that are the same in several layers, on disk and in the page cache: hard links between layers. A
 * file shares with files of the same path alone, so no merged view shows two names of one file that its makers did not
 * link, and an export has no link of another tree's. Immutable as layers are, nobody can change one through the other.
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

/** Where a number of links cannot matter: cron, sudo and others look at it below /etc and /var. */
const PLACES = ["usr", "opt", "lib", "lib32", "lib64", "libx32"];
/** In bytes; a smaller file costs a block and hardly any memory. */
const LEAST = 4096;
/** A file is read by its size, holes too: one that is larger than this times its blocks is left. */
const MOST_SPARSE = 64;
/** Layers looked at, half of them the newest, half the largest: each costs a look-up for each file. */
const MOST_LAYERS = 40;

export interface SharedFiles {
  readonly files: number;
  /** that the layer takes no longer on disk */
  readonly bytes: number;
}

/** Files with other names in their own tree, which stay as they are, by path below the tree. */
export type IsLinked = (path: string, stat: Stat) => boolean;

/**
 * Makes the files of `tree`, a layer that nothing uses yet or now, that are the same in a layer of `ids` (content,
 * mode, owner, time, extended attributes, path) names of those. Times of directories stay. The caller holds the
 * layers' lock. Durable once {@link syncStore} was called; a kill in between leaves the same tree.
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

/** In a layer that was just made, every file with several names is one that its makers linked. */
const linkedByMakers: IsLinked = (_path, stat) => stat.nlink > 1;

/**
 * Shares the files of a layer that is being made, unless `share` is false; returns the bytes that it takes no longer.
 * What it changes is durable with the layer's tree: {@link syncStore} afterwards. {@link shareFiles} says the rest.
 */
export function shareNew(store: Store, tree: string, progress: Progress, share = true): number {
  if (!share) return 0;
  progress.step("looking for files that other layers have");
  using _layers = lockLayers(store);
  return shareFiles(store, tree, layersToShare(store), linkedByMakers).bytes;
}

/** Ids of layers to look for the same files in. A damaged layer is none. */
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

  /** The directory `name` of `dir`, with those of the same name in the others. */
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

  /** Returns whether the directory was changed. */
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

  /** Puts the other's file in the place of `name` in one step; false where the file system gives no further link. */
  #link(from: number, to: number, name: string): boolean {
    const temporary = String(this.#count++);
    const result = linkat(from, name, this.scratch.number, temporary);
    if ([errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOENT].includes(-result)) return false;
    check(result, "link", name);
    rename(temporary, name, 0, this.scratch.number, to);
    return true;
  }
}
