/**
 * What containers in the background write: RUN/logs/ID.log, of which the older part is in ID.log.1. The directory is most
 * often in memory, so there is a limit.
 */
import { readInstance } from "../store/instances.ts";
import { paths, type Store } from "../store/paths.ts";
import { namesIn } from "../store/versions.ts";
import {
  type Fd,
  mkdirs,
  openat,
  openatMaybe,
  readSome,
  rename,
  unlinkQuietly,
  writeAll,
} from "../sys/fd.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../sys/flags.ts";
import { sleep } from "../sys/self.ts";
import { fstat, lstatMaybe } from "../sys/stat.ts";
import { isInstanceName } from "../text/names.ts";

/** Bytes of a file, after which the next one is begun: twice as many are kept at most. */
const FILE_LIMIT = 4 * 1024 * 1024;
/** That of a pipe (pipe(7)). */
const CHUNK = 64 * 1024;
/** Milliseconds between two looks at a file that grows. */
const PERIOD = 100;

/** Writes what comes through a pipe into the files of a container, until nobody can write to it any more. */
export function keepOutput(store: Store, id: string, from: Fd): void {
  mkdirs(paths.outputs(store), 0o700);
  const open = () =>
    openat(AT_FDCWD, paths.output(store, id), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  let file = open();
  let length = 0;
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    const count = readSome(from.number, buffer, "output");
    if (count === 0) break;
    if (length + count > FILE_LIMIT) {
      file[Symbol.dispose]();
      rename(paths.output(store, id), paths.earlierOutput(store, id));
      file = open();
      length = 0;
    }
    try {
      writeAll(file.number, buffer.subarray(0, count), paths.output(store, id));
    } catch {
      // no space: the container does not wait for it
    }
    length += count;
  }
  file[Symbol.dispose]();
}

/** Whether there is output of this container, of an ended one too. */
export function outputIds(store: Store): string[] {
  return namesIn(paths.outputs(store)).flatMap((name) => /^(.+)\.log$/.exec(name)?.[1] ?? []);
}

/** Writes the output so far to `target`, and what comes while `isUp`, where that is given. */
export function copyOutput(store: Store, id: string, target: number, isUp?: () => boolean): void {
  using earlier = openatMaybe(AT_FDCWD, paths.earlierOutput(store, id), O_RDONLY | O_NOFOLLOW);
  if (earlier) copyRest(earlier, target);
  const open = () => openatMaybe(AT_FDCWD, paths.output(store, id), O_RDONLY | O_NOFOLLOW);
  let file = open();
  for (;;) {
    // asked before the rest is read, so that what came last is in it
    const up = isUp?.() ?? false;
    if (file) copyRest(file, target);
    const now = lstatMaybe(paths.output(store, id));
    if (now && now.ino !== (file && fstat(file.number).ino)) {
      // the writer has begun another file
      if (file) copyRest(file, target);
      file?.[Symbol.dispose]();
      file = open();
      continue;
    }
    if (!up) break;
    sleep(PERIOD);
  }
  file?.[Symbol.dispose]();
}

function copyRest(file: Fd, target: number): void {
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    const count = readSome(file.number, buffer, "output");
    if (count === 0) return;
    writeAll(target, buffer.subarray(0, count), "standard output");
  }
}

/** Removes the output of an earlier container of this id. */
export function removeOutput(store: Store, id: string): void {
  unlinkQuietly(paths.output(store, id));
  unlinkQuietly(paths.earlierOutput(store, id));
}

/** Removes the output of containers that are gone, save of those whose instance is there. */
export function sweepOutputs(store: Store): void {
  for (const name of namesIn(paths.outputs(store))) {
    const id = name.replace(/\.log(\.1)?$/, "");
    if (lstatMaybe(paths.bundle(store, id))) continue;
    if (!isInstanceName(id) || !hasInstance(store, id)) removeOutput(store, id);
  }
}

/** A damaged one is one. */
function hasInstance(store: Store, id: string): boolean {
  try {
    return readInstance(store, id) !== undefined;
  } catch {
    return true;
  }
}
