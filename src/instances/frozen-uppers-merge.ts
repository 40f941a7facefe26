/** The parts of an upper made one again, when nothing uses them; and while the highest is in use, those below it. */

import { during, VeneerError } from "../errors.ts";
import { deleteInBackground } from "../store/delete-in-background.ts";
import { type Parts, partUppers } from "../store/frozen-uppers.ts";
import {
  type Instance,
  lockInstance,
  readInstance,
  requireInstance,
  requireLock,
  writeInstance,
} from "../store/instances.ts";
import { isUpperInUse, partsOnDisk } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { findHolder } from "../store/records.ts";
import { makeStaging } from "../store/staging.ts";
import { moveToTrash, removeTree } from "../store/trash.ts";
import { isErrno } from "../sys/errno.ts";
import {
  createFile,
  mkdirat,
  openat,
  openDirectory,
  rename,
  syncfs,
  uniqueSuffix,
  unlinkQuietly,
} from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, RENAME_EXCHANGE, RENAME_NOREPLACE } from "../sys/flags.ts";
import { sleep } from "../sys/self.ts";
import { list, lstatMaybe } from "../sys/stat.ts";
import { copyAttributes } from "../trees/copy-attributes.ts";
import { unfolded, withoutParts } from "./generations.ts";
import { holdLxc } from "./lxc-mount.ts";
import { type LayOptions, layOver } from "./merge-down.ts";

/** What a merge leaves in the trash. */
class Leftovers {
  readonly #parts: string[] = [];
  readonly #replaced: string[] = [];

  addParts(trash: string | undefined): void {
    if (trash !== undefined) this.#parts.push(trash);
  }

  /**
   * Until this is done, files of the parts have more links than a container made, and one that starts would go on
   * to see that: done before the instance's lock is given back, unless somebody waits for it.
   */
  deleteParts(stopped: () => boolean): void {
    for (const trash of this.#parts) while (removeTree(trash, DELETED_AT_ONCE) < 0) if (stopped()) return;
  }

  /** What the parts had replaced, of any size. */
  addReplaced(trash: string | undefined): void {
    if (trash !== undefined) this.#replaced.push(trash);
  }

  /** Deletes the rest, when the lock is given back. */
  delete(): void {
    for (const trash of this.#parts.splice(0)) removeTree(trash);
    for (const trash of this.#replaced.splice(0)) deleteInBackground(trash);
  }
}

/** Entries between two looks at whether somebody waits. */
const DELETED_AT_ONCE = 512;

const never = () => false;

/**
 * The definition of an instance that nothing has mounted, its parts merged; durable. The caller holds the instance's
 * lock. Throws when a part cannot be merged; then, and after a kill, the parts are there as before and show the same.
 */
export function mergedInstance(store: Store, id: string, instance: Instance): Instance {
  if (instance.parts === undefined) return instance;
  const leftovers = new Leftovers();
  const { instance: merged } = mergeLocked(store, id, instance, leftovers, never);
  leftovers.deleteParts(never);
  leftovers.delete();
  if (merged.parts === undefined) return merged;
  throw new VeneerError("IN_USE", `a part of instance ${id} is in use after a live rebase`, {
    hint: "stop what still runs of its container",
  });
}

/** Whether parts are to be merged, or are left of what was merged. */
function hasParts(store: Store, id: string, instance: Instance): boolean {
  return [instance, ...(instance.kept ?? [])].some(
    ({ parts, generation }) =>
      parts !== undefined || lstatMaybe(`${paths.generation(store, id, generation)}/parts`) !== undefined,
  );
}

/** Each generation of which nothing uses a part; `stopped` may end it early. The definition tells what is left. */
function mergeLocked(
  store: Store,
  id: string,
  instance: Instance,
  leftovers: Leftovers,
  stopped: () => boolean,
): { readonly instance: Instance; readonly end: "merged" | "used" | "stopped" } {
  let current = instance;
  let end: "merged" | "used" = "merged";
  for (const generation of [instance, ...(instance.kept ?? [])]) {
    const { parts, folded, generation: number } = generation;
    const directory = paths.generation(store, id, number);
    if (parts === undefined && !lstatMaybe(`${directory}/parts`)) continue;
    if (partsOnDisk(directory).some((part) => isUpperInUse(`${part}/upper`))) {
      end = "used";
      continue;
    }
    if (parts !== undefined) {
      if (folded !== undefined) {
        current = unfolded(current, number);
        writeInstance(store, id, current);
      }
      unfold(directory);
      // into part 0, from below: what is laid over it is hidden by the parts above until they are no longer named
      const [bottom = "", ...higher] = partUppers(directory, { parts }).reverse();
      const what = `merge the parts of instance ${id}, generation ${number}`;
      const done = during(what, () => {
        liftInto(bottom, higher);
        return layAll(store, higher, bottom, leftovers, { stopped });
      });
      if (!done) return { instance: current, end: "stopped" };
      syncUpper(bottom);
      current = withoutParts(current, number);
      writeInstance(store, id, current);
    }
    leftovers.addParts(moveToTrash(store, `${directory}/parts`));
  }
  return { instance: current, end };
}

/**
 * Where part 0 is empty, as a live rebase leaves it, the lowest part that is not takes its place in one step: the stack
 * shows the same before and after.
 */
function liftInto(bottom: string, higher: readonly string[]): void {
  const full = higher.find((upper) => list(upper).length > 0);
  if (full === undefined || list(bottom).length > 0) return;
  // where it is the highest part, its root is the one that shows
  copyAttributes(full, bottom);
  rename(full, bottom, RENAME_EXCHANGE);
}

function syncUpper(upper: string): void {
  using fd = openat(AT_FDCWD, upper, O_RDONLY | O_DIRECTORY);
  syncfs(fd.number, upper);
}

/** Lays trees over `bottom`, the lowest first. */
function layAll(
  store: Store,
  trees: readonly string[],
  bottom: string,
  leftovers: Leftovers,
  options: LayOptions,
): boolean {
  using staging = makeStaging(store);
  const replaced = `${staging.path}/replaced`;
  mkdirat(AT_FDCWD, replaced, 0o700);
  try {
    using workshop = openDirectory(replaced);
    return trees.every((tree) => layOver(tree, bottom, workshop, options));
  } finally {
    leftovers.addReplaced(moveToTrash(store, replaced));
  }
}

/** How {@link mergeInstance} ended; `used`: something uses a part, or changes the instance. */
export type MergeResult = "merged" | "nothing" | "used" | "stopped";

/**
 * Merges the parts of an instance when it is not in use. Gives way at once to whoever wants the instance meanwhile
 * ({@link lockInstance}). Throws when a part cannot be merged, which changes nothing.
 */
export function mergeInstance(store: Store, id: string): MergeResult {
  const leftovers = new Leftovers();
  try {
    return tryMerge(store, id, leftovers);
  } finally {
    leftovers.delete();
  }
}

/** Milliseconds between looks; a runtime runs its poststop hooks before the container's last mounts are gone. */
const LOOKS = [10, 20, 50, 100, 200, 500, 1000, 2000, 4000];

/** Like {@link mergeInstance}, for an instance whose container has just ended: waits for its overlay to go. */
export function mergeWhenFree(store: Store, id: string): MergeResult {
  for (const pause of LOOKS) {
    const result = mergeInstance(store, id);
    if (result !== "used" || findHolder(store, id)) return result;
    sleep(pause);
  }
  return mergeInstance(store, id);
}

function tryMerge(store: Store, id: string, leftovers: Leftovers): MergeResult {
  const known = readInstance(store, id);
  if (!known || !hasParts(store, id, known)) return "nothing";
  const marker = paths.merging(store, id);
  const stopped = () => !lstatMaybe(marker);
  // before the lock, so that nobody meets the one without the other; one that is there is another merge's, which
  // must not lose it, or was left by one that was killed
  const own = placeMarker(marker);
  let locked = false;
  try {
    using lock = lockInstance(store, id, { merge: true });
    const instance = lock && readInstance(store, id);
    if (!instance) return "nothing";
    using _lxc = holdLxc(store, id);
    locked = true;
    if (stopped()) return "stopped";
    const { end } = mergeLocked(store, id, instance, leftovers, stopped);
    leftovers.deleteParts(stopped);
    return end;
  } catch (error) {
    if (error instanceof VeneerError && !locked && ["BUSY", "HELD"].includes(error.code)) return "used";
    throw error;
  } finally {
    if (own || locked) unlinkQuietly(marker);
  }
}

/** False where there is one. */
function placeMarker(path: string): boolean {
  try {
    createFile(path, "");
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/**
 * Merges all parts but the highest, which an overlay may write to: a tree of links takes the place of part 0 in
 * one step. The parts stay for the overlays that have them, and for what a process on an earlier root still writes
 * there: {@link mergeInstance} begins with them, part 0 then being `parts/0`. Returns what the definition must say
 * from now on; until it does, the stack shows the same. `directory` is that of a generation or ephemeral upper; the
 * caller holds the instance's lock. Takes as long as the lower parts have entries.
 */
export function foldParts(store: Store, directory: string, current: Parts): Parts {
  const { parts = 0, folded = 0 } = current;
  if (parts <= folded + 1) return current;
  const first = `${directory}/parts/0`;
  const known = lstatMaybe(first) !== undefined;
  const [cover, ...lower] = partUppers(directory, { parts });
  const sources = [...lower.slice(0, -1), known ? `${first}/upper` : `${directory}/upper`].reverse();
  const leftovers = new Leftovers();
  // not in staging, from where `gc` would take what the exchange leaves there
  let place = `${directory}/parts/fold-${uniqueSuffix()}`;
  mkdirat(AT_FDCWD, place, 0o700);
  mkdirat(AT_FDCWD, `${place}/upper`, 0o700);
  during(`merge the ${sources.length} lower parts in ${directory}`, () =>
    layAll(store, sources, `${place}/upper`, leftovers, { stopped: never, cover }),
  );
  syncUpper(place);
  if (!known) {
    rename(place, first, RENAME_NOREPLACE);
    place = first;
  }
  rename(`${place}/upper`, `${directory}/upper`, RENAME_EXCHANGE);
  leftovers.delete();
  return { parts, folded: parts - 1 };
}

/** Makes the original part 0 that one again: with all parts above it, either shows the same. */
function unfold(directory: string): void {
  const first = `${directory}/parts/0`;
  if (!lstatMaybe(first)) return;
  rename(`${first}/upper`, `${directory}/upper`, RENAME_EXCHANGE);
  rename(first, `${directory}/parts/fold-${uniqueSuffix()}`);
}

/** {@link foldParts} of an instance, which may run; durable. */
export function foldInstance(store: Store, id: string): void {
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  const directory = paths.generation(store, id, instance.generation);
  writeInstance(store, id, { ...instance, ...foldParts(store, directory, instance) });
}
