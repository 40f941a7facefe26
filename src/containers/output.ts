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
  // between two files there is the older one alone
  const ids = namesIn(paths.outputs(store)).flatMap((name) => /^(.+)\.log(?:\.1)?$/.exec(name)?.[1] ?? []);
  return [...new Set(ids)];
}

/**
 * Writes the output so far to `target`, and what comes while `isUp`, where that is given. Without it ends with what there
 * was at the call, at most twice {@link FILE_LIMIT}, however fast the container writes and however slowly `target` takes
 * it.
 */
export function copyOutput(store: Store, id: string, target: number, isUp?: () => boolean): void {
  const { earlier, file } = openBoth(store, id);
  using _earlier = earlier;
  if (earlier) copyRest(earlier, target);
  if (isUp) follow(store, id, file, target, isUp);
  else {
    using last = file;
    if (last) copyRest(last, target, fstat(last.number).size);
  }
}

/** Tries to open both between two changes of files. */
const OPENINGS = 10;

/** Opens the two files so that the second follows upon the first: the writer may begin another one in between. */
function openBoth(
  store: Store,
  id: string,
): { readonly earlier: Fd | undefined; readonly file: Fd | undefined } {
  for (let count = 1; ; count++) {
    const earlier = openatMaybe(AT_FDCWD, paths.earlierOutput(store, id), O_RDONLY | O_NOFOLLOW);
    const file = openFile(store, id);
    const now = lstatMaybe(paths.earlierOutput(store, id))?.ino;
    if (count === OPENINGS || now === (earlier && fstat(earlier.number).ino)) return { earlier, file };
    earlier?.[Symbol.dispose]();
    file?.[Symbol.dispose]();
  }
}

function openFile(store: Store, id: string): Fd | undefined {
  return openatMaybe(AT_FDCWD, paths.output(store, id), O_RDONLY | O_NOFOLLOW);
}

/** Closes `file`. */
function follow(store: Store, id: string, first: Fd | undefined, target: number, isUp: () => boolean): void {
  let file = first;
  for (;;) {
    // asked before the rest is read, so that what came last is in it
    const up = isUp();
    if (file) copyRest(file, target);
    const now = lstatMaybe(paths.output(store, id));
    if (now && now.ino !== (file && fstat(file.number).ino)) {
      // the writer has begun another file
      if (file) copyRest(file, target);
      file?.[Symbol.dispose]();
      file = openFile(store, id);
      continue;
    }
    if (!up) break;
    sleep(PERIOD);
  }
  file?.[Symbol.dispose]();
}

/** Copies until the end of the file, or `limit` bytes. */
function copyRest(file: Fd, target: number, limit = Number.POSITIVE_INFINITY): void {
  const buffer = new Uint8Array(CHUNK);
  for (let left = limit; left > 0; ) {
    const count = readSome(file.number, buffer.subarray(0, Math.min(CHUNK, left)), "output");
    if (count === 0) return;
    writeAll(target, buffer.subarray(0, count), "standard output");
    left -= count;
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
