/** Files of a container's root that its processes have open for writing (proc_pid_fd(5), proc_pid_fdinfo(5)). */

import { isErrno } from "../sys/errno.ts";
import { readlink, readText } from "../sys/fd.ts";
import { S_IFIFO, S_IFMT, S_IFREG } from "../sys/flags.ts";
import { commandOf, gone } from "../sys/process/processes.ts";
import { list, type Stat, statMaybe } from "../sys/stat.ts";

/** What tells the files of a root: its mounts, and the device of its directories. */
export interface RootMarks {
  readonly mounts: ReadonlySet<number>;
  /** `major:minor` */
  readonly devices: ReadonlySet<string>;
}

export function isOfRoot(marks: RootMarks, stat: Stat): boolean {
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

/** What the processes have open for writing, or mapped so, on the root; deleted files left out. */
export function openForWriting(pids: readonly number[], marks: RootMarks): Opened[] {
  return pids.flatMap((pid) => gone(() => [...descriptorsOf(pid, marks), ...mappingsOf(pid, marks)]) ?? []);
}

/** Status of what a link of /proc leads to; undefined where that has no place in a file system, or is gone. */
export function statLink(path: string): Stat | undefined {
  try {
    return statMaybe(path);
  } catch (error) {
    if (isErrno(error, "ENXIO", "EACCES", "ESRCH", "EPERM", "ESTALE")) return undefined;
    throw error;
  }
}

function* descriptorsOf(pid: number, marks: RootMarks): Generator<Opened> {
  for (const fd of list(`/proc/${pid}/fd`)) {
    const place = `/proc/${pid}/fd/${fd}`;
    const stat = statLink(place);
    const type = (stat?.mode ?? 0) & S_IFMT;
    if (!stat || (type !== S_IFREG && type !== S_IFIFO) || stat.nlink === 0 || !isOfRoot(marks, stat))
      continue;
    const info = readText(`/proc/${pid}/fdinfo/${fd}`) ?? "";
    const access = Number.parseInt(/^flags:\s*0?([0-7]+)$/m.exec(info)?.[1] ?? "0", 8) & O_ACCMODE;
    if (access === 0 && type === S_IFREG) continue;
    yield {
      path: readlink(place) ?? "",
      pid,
      command: commandOf(pid),
      kind: type === S_IFREG ? "file" : "fifo",
      reads: access !== O_WRONLY,
      locked: /^lock:/m.test(info),
      stat,
    };
  }
}

/** Shared mappings through which a file can be written; the descriptor may be closed by now. */
function* mappingsOf(pid: number, marks: RootMarks): Generator<Opened> {
  const seen = new Set<string>();
  for (const line of (readText(`/proc/${pid}/maps`) ?? "").split("\n")) {
    const [, range, path] = /^([0-9a-f]+-[0-9a-f]+) .w.s [0-9a-f]+ \S+ [0-9]+ +(\/.*)$/.exec(line) ?? [];
    if (range === undefined || path === undefined || seen.has(path)) continue;
    seen.add(path);
    const stat = statLink(`/proc/${pid}/map_files/${range}`);
    if (!stat || (stat.mode & S_IFMT) !== S_IFREG || stat.nlink === 0 || !isOfRoot(marks, stat)) continue;
    yield { path, pid, command: commandOf(pid), kind: "file", reads: true, locked: false, stat };
  }
}
