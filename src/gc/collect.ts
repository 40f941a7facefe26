/** Frees what nothing uses. */
import { VeneerError } from "../errors.ts";
import { settleLxc } from "../instances/lxc-mount.ts";
import type { Progress } from "../process/progress.ts";
import { listInstances, lockInstance } from "../store/instances.ts";
import { lockLayers } from "../store/layers.ts";
import { lxcConfigOf } from "../store/lxc-mount.ts";
import { paths, type Store } from "../store/paths.ts";
import { namesIn } from "../store/versions.ts";
import { type Fd, flock, openat } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { settleDedupe } from "./dedupe.ts";
import { describe, type Freed, pathOf } from "./describe.ts";
import { deleteTrash, diskUsage } from "./empty-trash.ts";
import { findGarbage } from "./find.ts";
import { free } from "./free.ts";
import { type GarbageKind, planGc } from "./plan.ts";
import { waitForStarts } from "./starts.ts";

export interface GcResult {
  readonly freed: readonly Freed[];
  /** what was left alone, and why */
  readonly problems: readonly unknown[];
}

/**
 * Frees what nothing uses, or with `dryRun` tells what it would free. Never hits what is being started, imported
 * or changed meanwhile: that is left for the next time. Two at once: the second waits.
 */
export async function collectGarbage(store: Store, dryRun: boolean, progress: Progress): Promise<GcResult> {
  using _one = lockTrash(store);
  const problems: unknown[] = [];
  const freed: Freed[] = [];
  const trash: { kind: GarbageKind; what: string; path: string }[] = [];
  {
    progress.step("looking");
    using layers = lockLayers(store, LOCK_EX | LOCK_NB);
    if (!layers) {
      problems.push(new VeneerError("BUSY", "layers are left: a base is being imported or changed"));
    }
    if (!dryRun) settleAll(store, problems);
    if (!dryRun && layers) settleDedupe(store);
    let steps = planGc(findGarbage(store, layers !== undefined, (error) => problems.push(error)));
    if (dryRun) {
      const sizes = await diskUsage(steps.flatMap((step) => pathOf(store, step) ?? []));
      return { freed: steps.map((step) => describe(store, step, sizes)), problems };
    }
    if (steps.some((step) => step.kind === "ephemeral upper")) {
      const held = waitForStarts(store);
      if (held !== undefined) {
        problems.push(
          new VeneerError(
            "BUSY",
            `uppers without a record are left: base ${held} stayed locked for too long`,
          ),
        );
        steps = steps.filter((step) => step.kind !== "ephemeral upper");
      }
    }
    for (const step of steps) {
      try {
        const what = describe(store, step, new Map());
        const path = free(store, step);
        if (path === true) freed.push(what);
        else if (path !== false) trash.push({ ...what, path });
      } catch (error) {
        problems.push(error);
      }
    }
  }
  progress.step("measuring");
  const sizes = await diskUsage(trash.map(({ path }) => path));
  progress.step("deleting");
  try {
    await deleteTrash(trash.map(({ path }) => path));
  } catch (error) {
    problems.push(error);
  }
  for (const { kind, what, path } of trash) {
    if (!lstatMaybe(path)) freed.push({ kind, what, bytes: sizes.get(path) ?? 0 });
  }
  return { freed, problems };
}

/** Puts right what killed changes left of instances that LXC mounts itself. */
function settleAll(store: Store, problems: unknown[]): void {
  for (const id of listInstances(store)) {
    if (lxcConfigOf(store, id) === undefined) continue;
    try {
      using lock = lockInstance(store, id);
      if (lock) settleLxc(store, id);
    } catch (error) {
      // whoever changes it now puts it right
      if (!(error instanceof VeneerError && error.code === "BUSY")) problems.push(error);
    }
  }
}

/** Deletes what is in the trash, unless another is at it. */
export async function emptyTrash(store: Store): Promise<void> {
  using lock = lockTrash(store, LOCK_NB);
  if (lock) await deleteTrash(namesIn(paths.trash(store)).map((name) => `${paths.trash(store)}/${name}`));
}

/** Held by whoever deletes or rearranges what nothing uses; with LOCK_NB undefined where another holds it. */
export function lockTrash(store: Store, flags = 0): Fd | undefined {
  const path = paths.trash(store);
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (flock(fd.number, LOCK_EX | flags, path)) return fd;
  fd[Symbol.dispose]();
  return undefined;
}
