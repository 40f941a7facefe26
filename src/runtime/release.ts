/**
 * `veneer-release`: the poststop hook that `veneer-runc` and `veneer-crun` put into config.json. It empties the record,
 * which frees the instance at once. A child that nobody waits for deletes the rest, so that the end of a container
 * takes the same time whatever the size of its upper. After a kill in between, `veneer gc` deletes the rest.
 */
import { UsageError } from "../errors.ts";
import { type Log, logStop } from "../report/event-log.ts";
import { paths, type Store } from "../store/paths.ts";
import { readRecord } from "../store/records.ts";
import { moveToTrash, removeTree } from "../store/trash.ts";
import { MINIMAL_ENVIRONMENT } from "../sys/environment.ts";
import { openat, openatMaybe, readlink, readSome, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, MNT_DETACH, O_NOFOLLOW, O_TRUNC, O_WRONLY, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { umountQuietly } from "../sys/mount.ts";
import { endAndGoOn } from "../sys/process/background.ts";
import { execve, exit } from "../sys/process/fork.ts";
import { ownExecutable } from "../sys/self.ts";
import { fstat, list, lstatMaybe } from "../sys/stat.ts";
import { checkName } from "../text/names.ts";

interface Release {
  readonly store: Store;
  readonly key: string;
  readonly ephemeral: string;
  readonly instance: string;
  /** where the stop is logged */
  readonly log?: Log;
}

/** Releases a container and exits. Idempotent. `words` are the arguments that `rewriteConfig` gives to the hook. */
export function releaseContainer(words: readonly string[]): never {
  const release = parse(words);
  const record = release.log && quietly(() => readRecord(release.store, release.key));
  if (!emptyRecord(paths.record(release.store, release.key))) {
    drain();
    exit(0);
  }
  endAndGoOn(() => {
    if (record) logStop(release.log, record);
    takeDown(release);
    drain();
    mergeParts(release);
  });
}

function parse(words: readonly string[]): Release {
  const [rootOption, root, runOption, run, key, ephemeral, instance, logFormat, log, ...more] = words;
  const named = rootOption === "--root" && runOption === "--run" && more.length === 0;
  const isKey = key !== undefined && /^[A-Za-z0-9_+.-]{1,128}~[0-9a-f]{16}$/.test(key);
  const isDirectory = ephemeral === "" || /^[0-9a-f]{12}$/.test(ephemeral ?? "x");
  if (!named || !isKey || !isDirectory || !root?.startsWith("/") || !run?.startsWith("/")) {
    throw new UsageError(
      "veneer-release is the hook that veneer-runc and veneer-crun put into config.json",
      "use those",
    );
  }
  if (instance) checkName("instance", instance);
  return {
    store: { root, run },
    key,
    ephemeral: ephemeral ?? "",
    instance: instance ?? "",
    ...(log !== undefined && { log: { log, logFormat: logFormat === "json" ? "json" : "text" } }),
  };
}

/** Empties a record; false where there is none, or it is empty already. */
function emptyRecord(path: string): boolean {
  using record = openatMaybe(AT_FDCWD, path, O_WRONLY | O_NOFOLLOW);
  if (!record || fstat(record.number).size === 0) return false;
  openat(AT_FDCWD, path, O_WRONLY | O_NOFOLLOW | O_TRUNC)[Symbol.dispose]();
  return true;
}

function takeDown({ store, key, ephemeral, instance }: Release): void {
  if (ephemeral !== "") {
    const trash = moveToTrash(store, paths.ephemeral(store, ephemeral));
    if (trash !== undefined) quietly(() => removeTree(trash));
  }
  if (instance !== "" && readlink(paths.held(store, instance)) === key) {
    unlinkQuietly(paths.held(store, instance));
  }
  unlinkQuietly(paths.startMark(store, key));
  // for a container that mounts its own config.json, the bundle's file is mounted over it in this namespace
  umountQuietly(paths.config(store, key), MNT_DETACH | UMOUNT_NOFOLLOW);
  unlinkQuietly(paths.config(store, key));
  unlinkQuietly(paths.record(store, key));
}

/** Whether a live rebase has left parts in a generation of the instance. */
function hasParts(directory: string): boolean {
  return list(directory).some((name) => /^[0-9]/.test(name) && lstatMaybe(`${directory}/${name}/parts`));
}

/** Executes the program that merges the parts, as `veneer`, because this executable may have any name. */
function mergeParts({ store, instance }: Release): void {
  if (instance === "" || !hasParts(paths.instance(store, instance))) return;
  const words = ["veneer", "--root", store.root, "--run", store.run, "internal", "merge", instance];
  execve(ownExecutable(), words, MINIMAL_ENVIRONMENT);
}

function quietly<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    // `gc` deletes it
    return undefined;
  }
}

/** Reads stdin to its end, because crun would die of SIGPIPE if nobody read the state that it writes. */
function drain(): void {
  const buffer = new Uint8Array(65536);
  quietly(() => {
    while (readSome(0, buffer, "stdin") > 0);
  });
}
