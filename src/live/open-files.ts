/** Files of a container's root that its processes have open for writing (proc_pid_fd(5), proc_pid_fdinfo(5)). */

import { isErrno } from "../sys/errno.ts";
import { readlink, readText } from "../sys/fd.ts";
import { type FilePlace, filePlace } from "../sys/file-place.ts";
import { AT_FDCWD, S_IFIFO, S_IFMT, S_IFREG } from "../sys/flags.ts";
import { commandOf, gone } from "../sys/process/processes.ts";
import { list, type Stat, statMaybe } from "../sys/stat.ts";

/** What tells the files of a root: its mounts, and the device of its directories. */
export interface RootMarks {
  readonly mounts: ReadonlySet<number>;
  /** `major:minor` */
  readonly devices: ReadonlySet<string>;
}

export function isOfRoot(marks: RootMarks, stat: Pick<Stat, "mountId" | "dev">): boolean {
  return marks.mounts.has(Number(stat.mountId)) || marks.devices.has(stat.dev);
}

export interface Opened {
  /** as the container sees it, or saw it */
  readonly path: string;
  readonly pid: number;
  readonly command: string;
  readonly kind: "file" | "fifo";
  readonly reads: boolean;
  readonly locked: boolean;
  readonly stat: Stat;
}

const O_ACCMODE = 3;
const O_WRONLY = 1;

/**
 * What the processes have open for writing, or mapped so, on the root; deleted files left out. `pace` is called now
 * and then, and may throw.
 */
export function openForWriting(
  pids: readonly number[],
  marks: RootMarks,
  pace: () => void = () => {},
): Opened[] {
  return pids.flatMap((pid) => {
    pace();
    let command: string | undefined;
    const asked = {
      pid,
      marks,
      pace,
      command() {
        command ??= commandOf(pid);
        return command;
      },
    };
    return gone(() => [...descriptorsOf(asked), ...mappingsOf(asked)]) ?? [];
  });
}

interface Asked {
  readonly pid: number;
  readonly marks: RootMarks;
  readonly pace: () => void;
  command(): string;
}

/**
 * Status of what a link of /proc leads to, when it is on one of the roots; undefined otherwise, and where it has no
 * place in a file system, or is gone. What is on another mount is not asked for more than its place: its file system
 * may be a server of the container's own, which never answers.
 */
function statOnRoot(path: string, marks: RootMarks): Stat | undefined {
  return placeOfLink(path, (place) => (isOfRoot(marks, place) ? statMaybe(path) : undefined));
}

/** What `look` says of the place that a link of /proc leads to; undefined where it leads to none, or is gone. */
export function placeOfLink<T>(path: string, look: (place: FilePlace) => T | undefined): T | undefined {
  try {
    const place = filePlace(AT_FDCWD, path);
    return place && look(place);
  } catch (error) {
    if (isErrno(error, "ENXIO", "EACCES", "ESRCH", "EPERM", "ESTALE")) return undefined;
    throw error;
  }
}

const PACE = 64;

function* descriptorsOf({ pid, marks, pace, command }: Asked): Generator<Opened> {
  let count = 0;
  for (const fd of list(`/proc/${pid}/fd`)) {
    if (++count % PACE === 0) pace();
    const place = `/proc/${pid}/fd/${fd}`;
    const stat = statOnRoot(place, marks);
    const type = (stat?.mode ?? 0) & S_IFMT;
    if (!stat || (type !== S_IFREG && type !== S_IFIFO) || stat.nlink === 0) continue;
    const info = readText(`/proc/${pid}/fdinfo/${fd}`) ?? "";
    const access = Number.parseInt(/^flags:\s*0?([0-7]+)$/m.exec(info)?.[1] ?? "0", 8) & O_ACCMODE;
    if (access === 0 && type === S_IFREG) continue;
    yield {
      path: readlink(place) ?? "",
      pid,
      command: command(),
      kind: type === S_IFREG ? "file" : "fifo",
      reads: access !== O_WRONLY,
      locked: /^lock:/m.test(info),
      stat,
    };
  }
}

/** Shared mappings through which a file can be written; the descriptor may be closed by now. */
function* mappingsOf({ pid, marks, command }: Asked): Generator<Opened> {
  const seen = new Set<string>();
  for (const line of (readText(`/proc/${pid}/maps`) ?? "").split("\n")) {
    const [, range, path] = /^([0-9a-f]+-[0-9a-f]+) .w.s [0-9a-f]+ \S+ [0-9]+ +(\/.*)$/.exec(line) ?? [];
    if (range === undefined || path === undefined || seen.has(path)) continue;
    seen.add(path);
    const stat = statOnRoot(`/proc/${pid}/map_files/${range}`, marks);
    if (!stat || (stat.mode & S_IFMT) !== S_IFREG || stat.nlink === 0) continue;
    yield { path, pid, command: command(), kind: "file", reads: true, locked: false, stat };
  }
}
