/** Carries out one step of gc. */
import { VeneerError } from "../errors.ts";
import { mergeInstance } from "../instances/frozen-uppers-merge.ts";
import { removeInstance } from "../instances/remove.ts";
import { removeMountPoint } from "../start/mount-point.ts";
import { isUnchanged, release } from "../start/release.ts";
import { lockInstance, readInstance } from "../store/instances.ts";
import { isAnyPartInUse } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { isLeft, lockSession, readSession } from "../store/sessions.ts";
import { holdStaging } from "../store/staging.ts";
import { moveToTrash } from "../store/trash.ts";
import { changeBase, listVersions } from "../store/versions.ts";
import { flock, openatMaybe, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_RDONLY, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { umountQuietly } from "../sys/mount.ts";
import { dropNamespace } from "../userns/cache.ts";
import { isOrphan } from "./find.ts";
import type { GcStep } from "./plan.ts";
import { isFree } from "./starts.ts";

/**
 * Returns the path of what is now in the trash; true where nothing is left to delete; false where it turned out to be in
 * use. Throws where a mount cannot be removed.
 */
export function free(store: Store, step: GcStep): string | boolean {
  switch (step.kind) {
    case "record":
      return "record" in step ? releaseRecord(store, step.record) : forgetRecord(store, step.empty);
    case "ephemeral upper": {
      const path = paths.ephemeral(store, step.id);
      return !isAnyPartInUse(path) && (moveToTrash(store, path) ?? false);
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
        throw new VeneerError(
          "BUSY",
          `${step.target} is mounted and in use, but veneer has no record of it`,
          {
            hint: `'fuser -vm ${step.target}' shows who uses it`,
          },
        );
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
