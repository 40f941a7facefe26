/** Whether anything in a tree changes: for trees to which somebody may write who cannot be stopped. */
import { walkChanging } from "../overlay/walk.ts";
import { sleep } from "../sys/self.ts";
import type { Stat } from "../sys/stat.ts";
import { lstatMaybe } from "../sys/stat.ts";

/** The status of each entry by path; the kernel changes ctime with everything else (inode(7)). */
export type Listing = ReadonlyMap<string, string>;

/** Milliseconds between two times that the kernel may give to different changes (a tick of 100 Hz, doubled). */
export const TICK = 20;

/** When anything of an entry was last changed, in milliseconds since 1970. */
export function changedAt({ ctime: { seconds, nanoseconds } }: Stat): number {
  return Number(seconds) * 1000 + nanoseconds / 1e6;
}

/**
 * The entries of trees, once none of them was changed within the last {@link TICK}: a later change of any gives it
 * another time. `pace` may throw.
 */
export function listStill(trees: readonly string[], pace: () => void): Listing {
  for (;;) {
    pace();
    const begin = Date.now() - TICK;
    const { listing, latest } = listAll(trees, pace);
    if (latest < begin) return listing;
    sleep(TICK);
  }
}

/** Whether all entries are as they were. */
export function isStill(trees: readonly string[], before: Listing, pace: () => void): boolean {
  const { listing } = listAll(trees, pace);
  return listing.size === before.size && [...before].every(([path, status]) => listing.get(path) === status);
}

function listAll(trees: readonly string[], pace: () => void): { listing: Listing; latest: number } {
  const listing = new Map<string, string>();
  let latest = 0;
  const add = (path: string, stat: Stat) => {
    pace();
    const { seconds, nanoseconds } = stat.ctime;
    listing.set(path, `${stat.ino} ${seconds}.${nanoseconds} ${stat.size}`);
    latest = Math.max(latest, changedAt(stat));
  };
  for (const [index, tree] of trees.entries()) {
    const root = lstatMaybe(tree);
    if (root) add(`${index}`, root);
    walkChanging(tree, ({ path, stat }) => add(`${index}/${path}`, stat));
  }
  return { listing, latest };
}
