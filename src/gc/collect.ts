/** Frees what nothing uses. */
import { VeneerError } from "../errors.ts";
import { mergeInstance } from "../instances/frozen-uppers-merge.ts";
import { settleLxc } from "../instances/lxc-mount.ts";
import { removeInstance } from "../instances/remove.ts";
import type { Progress } from "../process/progress.ts";
import { removeMountPoint } from "../start/mount-point.ts";
import { isUnchanged, release } from "../start/release.ts";
import { listInstances, lockInstance, readInstance } from "../store/instances.ts";
import { lockLayers, readLayer } from "../store/layers.ts";
import { lxcConfigOf } from "../store/lxc-mount.ts";
import { isUpperInUse, partsOnDisk } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { isLeft, lockSession, readSession } from "../store/sessions.ts";
import { holdStaging } from "../store/staging.ts";
import { moveToTrash } from "../store/trash.ts";
import { changeBase, listVersions, namesIn } from "../store/versions.ts";
import { type Fd, flock, openat, openatMaybe, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_RDONLY, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { umountQuietly } from "../sys/mount.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { dropNamespace } from "../userns/cache.ts";
import { settleDedupe } from "./dedupe.ts";
import { deleteTrash, diskUsage } from "./empty-trash.ts";
import { findGarbage, isOrphan } from "./find.ts";
import { type GarbageKind, type GcStep, planGc } from "./plan.ts";
import { isFree, waitForStarts } from "./starts.ts";

export interface Freed {
  readonly kind: GarbageKind;
  /** a path, or the name of a record */
  readonly what: string;
  /** on disk */
  readonly bytes: number;
}

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
          new VeneerError("BUSY", `uppers without a record are left: base ${held} is in use for long`),
        );
        steps = steps.filter((step) => step.kind !== "ephemeral upper");
      }
    }
    for (const step of steps) {
      try {
        const what = describe(store, step, new Map());
        const path = carryOut(store, step);
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

/** The directory that a step moves to the trash. */
function pathOf(store: Store, step: GcStep): string | undefined {
  switch (step.kind) {
    case "ephemeral upper":
      return paths.ephemeral(store, step.id);
    case "instance":
      return paths.instance(store, step.id);
    case "generation":
      return `${paths.instance(store, step.instance)}/${step.generation}`;
    case "staging":
      return step.path;
    case "layer":
      return paths.layer(store, step.id);
    case "trash":
      return `${paths.trash(store)}/${step.name}`;
    case "session":
      return paths.session(store, step.base);
    case "record":
      return "record" in step && step.record.ephemeral !== undefined
        ? paths.ephemeral(store, step.record.ephemeral)
        : undefined;
    default:
      return undefined;
  }
}

function describe(store: Store, step: GcStep, sizes: ReadonlyMap<string, number>): Freed {
  const path = pathOf(store, step);
  const known = step.kind === "layer" ? readLayer(store, step.id)?.bytes : undefined;
  const bytes = (path === undefined ? undefined : sizes.get(path)) ?? known ?? 0;
  return { kind: step.kind, what: nameOf(store, step), bytes };
}

function nameOf(store: Store, step: GcStep): string {
  switch (step.kind) {
    case "record":
      return "record" in step ? step.record.key : step.empty;
    case "manifest":
      return `${step.base}@${step.version}`;
    case "mount":
      return step.target;
    case "file":
      return step.path;
    case "parts":
      return paths.instance(store, step.id);
    case "user namespace":
      return `${paths.namespaces(store)}/${step.name}`;
    default:
      return pathOf(store, step) as string;
  }
}

/** Returns what now lies in the trash, true when all is done, false when it turned out to be in use. */
function carryOut(store: Store, step: GcStep): string | boolean {
  switch (step.kind) {
    case "record":
      return "record" in step ? releaseRecord(store, step.record) : forgetRecord(store, step.empty);
    case "ephemeral upper": {
      const path = paths.ephemeral(store, step.id);
      const inUse = partsOnDisk(path).some((part) => isUpperInUse(`${part}/upper`));
      return !inUse && (moveToTrash(store, path) ?? false);
    }
    case "instance":
      return isOrphan(store, step.id) && removeInstance(store, step.id);
    case "generation":
      return trashGeneration(store, step.instance, step.generation);
    case "parts":
      return mergeInstance(store, step.id) === "merged";
    case "staging": {
      using held = holdStaging(step.path);
      return held !== undefined && (moveToTrash(store, step.path) ?? false);
    }
    case "layer":
      return moveToTrash(store, paths.layer(store, step.id)) ?? false;
    case "manifest":
      return removeManifest(store, step.base, step.version);
    case "session":
      return trashSession(store, step.base);
    case "mount":
      if (!umountQuietly(step.target, UMOUNT_NOFOLLOW)) {
        throw new VeneerError("BUSY", `${step.target} is mounted and in use, but nothing knows why`, {
          hint: `'fuser -vm ${step.target}' shows who uses it`,
        });
      }
      removeMountPoint(step.target, step.target.startsWith(`${store.run}/mapped/`));
      return true;
    case "file":
      unlinkQuietly(step.path);
      return true;
    case "user namespace":
      dropNamespace(store, step.name);
      return true;
    case "trash":
      return `${paths.trash(store)}/${step.name}`;
  }
}

/**
 * A start holds its base while it writes its record: with the base held, the record either is still the one
 * that was looked at, or a new one that is not touched.
 */
function releaseRecord(store: Store, record: UseRecord): string | boolean {
  using base = openatMaybe(AT_FDCWD, paths.base(store, record.base), O_RDONLY | O_DIRECTORY);
  if (base && !flock(base.number, LOCK_EX | LOCK_NB, record.base)) return false;
  using _instance = record.instance === undefined ? undefined : lockInstance(store, record.instance);
  if (!isUnchanged(store, record)) return false;
  const ephemeral = record.ephemeral === undefined ? undefined : paths.ephemeral(store, record.ephemeral);
  const trash = ephemeral === undefined ? undefined : moveToTrash(store, ephemeral);
  release(store, record);
  return trash ?? true;
}

function forgetRecord(store: Store, key: string): boolean {
  unlinkQuietly(paths.config(store, key));
  unlinkQuietly(paths.record(store, key));
  return true;
}

function trashGeneration(store: Store, id: string, generation: string): string | false {
  using lock = lockInstance(store, id);
  const instance = lock && readInstance(store, id);
  if (!instance) return false;
  const known = [instance, ...(instance.kept ?? [])].some((one) => String(one.generation) === generation);
  return !known && (moveToTrash(store, `${paths.instance(store, id)}/${generation}`) ?? false);
}

function trashSession(store: Store, name: string): string | false {
  const session = readSession(store, name);
  if (!session || !isLeft(store, name, session)) return false;
  using lock = lockSession(store, name);
  return lock !== undefined && (moveToTrash(store, paths.session(store, name)) ?? false);
}

function removeManifest(store: Store, name: string, version: number): boolean {
  if (!isFree(store, name)) return false;
  using lock = changeBase(store, name);
  if (!lock || listVersions(store, name).includes(version)) return false;
  unlinkQuietly(paths.manifest(store, name, version));
  return true;
}
