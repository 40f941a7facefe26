/** Merges the parts of an unused upper into one. */

import { VeneerError, withContext } from "../errors.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { type Instance, lockInstance, readInstance, writeInstance } from "../store/instances.ts";
import { isAnyPartInUse } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { findHolder } from "../store/records.ts";
import { moveToTrash } from "../store/trash.ts";
import { isErrno } from "../sys/errno.ts";
import { createFile, rename, unlinkQuietly } from "../sys/fd.ts";
import { RENAME_EXCHANGE } from "../sys/flags.ts";
import { sleep } from "../sys/self.ts";
import { list, lstatMaybe } from "../sys/stat.ts";
import { copyAttributes } from "../trees/copy-attributes.ts";
import { unfold } from "./fold-parts.ts";
import { unfolded, withoutParts } from "./generations.ts";
import { Leftovers, layAll, never, syncUpper } from "./lay-parts.ts";
import { holdLxc } from "./lxc-mount.ts";

/**
 * Merges the parts of an unmounted instance and returns its new definition, durable on return. The caller holds the
 * lock of the instance. Throws when a part cannot be merged, IN_USE when something uses it. After an error or a kill
 * all parts are still there and show the same together.
 */
export function mergedInstance(store: Store, id: string, instance: Instance): Instance {
  if (instance.parts === undefined) return instance;
  const leftovers = new Leftovers();
  const { instance: merged } = mergeLocked(store, id, instance, leftovers, never);
  leftovers.deleteParts(never);
  leftovers.delete();
  if (merged.parts === undefined) return merged;
  throw new VeneerError("IN_USE", `a part of instance ${id} is in use after a live rebase`, {
    hint: "stop the remaining processes of its container",
  });
}

/** Whether there are parts to merge, or leftovers of merged ones. */
function hasParts(store: Store, id: string, instance: Instance): boolean {
  return [instance, ...(instance.kept ?? [])].some(
    ({ parts, generation }) =>
      parts !== undefined || lstatMaybe(`${paths.generation(store, id, generation)}/parts`) !== undefined,
  );
}

/** Merges each generation of which no part is in use, until `stopped`. The returned definition has what remains. */
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
    if (isAnyPartInUse(directory)) {
      end = "used";
      continue;
    }
    if (parts !== undefined) {
      if (folded !== undefined) {
        current = unfolded(current, number);
        writeInstance(store, id, current);
      }
      unfold(directory);
      // from the bottom up into part 0: the parts above hide the changes there until the definition omits them
      const uppers = partUppers(directory, { parts });
      const what = `merge the parts of instance ${id}, generation ${number}`;
      const done = withContext(what, () => mergeUppers(store, uppers, leftovers, stopped));
      if (!done) return { instance: current, end: "stopped" };
      syncUpper(uppers.at(-1) as string);
      current = withoutParts(current, number);
      writeInstance(store, id, current);
    }
    leftovers.addParts(moveToTrash(store, `${directory}/parts`));
  }
  return { instance: current, end };
}

/**
 * Merges uppers (top first) into the lowest one. Returns false when `stopped` ended it early; all uppers together still
 * show what they did.
 */
export function mergeUppers(
  store: Store,
  uppers: readonly string[],
  leftovers: Leftovers,
  stopped: () => boolean,
): boolean {
  const [bottom = "", ...higher] = uppers.toReversed();
  liftInto(bottom, higher);
  return layAll(store, higher, bottom, leftovers, { stopped });
}

/**
 * When part 0 is empty, as a live rebase leaves it, exchanges it atomically with the lowest part that is not instead of
 * linking every entry. The stack shows the same before and after.
 */
function liftInto(bottom: string, higher: readonly string[]): void {
  const full = higher.find((upper) => list(upper).length > 0);
  if (full === undefined || list(bottom).length > 0) return;
  // the root of the top part is the one that shows
  copyAttributes(full, bottom);
  rename(full, bottom, RENAME_EXCHANGE);
}

/** The result of {@link mergeInstance}; `used`: something uses a part or changes the instance. */
export type MergeResult = "merged" | "nothing" | "used" | "stopped";

/**
 * Merges the parts of an instance that is not in use. Stops early when another process wants the instance
 * ({@link lockInstance}). Throws when a part cannot be merged; the instance then shows what it did.
 */
export function mergeInstance(store: Store, id: string): MergeResult {
  const leftovers = new Leftovers();
  try {
    return tryMerge(store, id, leftovers);
  } finally {
    leftovers.delete();
  }
}

/** Milliseconds between attempts: a runtime runs poststop hooks before the last mounts of the container are gone. */
const LOOKS = [10, 20, 50, 100, 200, 500, 1000, 2000, 4000];

/**
 * Does what {@link mergeInstance} does for an instance whose container has just ended. Retries, for about 8 seconds,
 * while its overlay still exists or another process has the instance, but gives up once the next container holds it.
 */
export function mergeWhenFree(store: Store, id: string): MergeResult {
  for (const pause of LOOKS) {
    const result = mergeInstance(store, id);
    if (result === "merged" || result === "nothing" || findHolder(store, id)) return result;
    sleep(pause);
  }
  return mergeInstance(store, id);
}

function tryMerge(store: Store, id: string, leftovers: Leftovers): MergeResult {
  const known = readInstance(store, id);
  if (!known || !hasParts(store, id, known)) return "nothing";
  const marker = paths.merging(store, id);
  const stopped = () => !lstatMaybe(marker);
  // before the lock, so that nobody sees the lock without the marker; an existing marker belongs to another merge,
  // which needs it, or was left by a killed one
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

/** Returns false when the marker exists already. */
function placeMarker(path: string): boolean {
  try {
    createFile(path, "");
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}
