/** What of a container's processes is still on a root that was taken away from it. */
import { readlink, readText } from "../sys/fd.ts";
import { commandOf, gone } from "../sys/process/processes.ts";
import { list } from "../sys/stat.ts";
import { isOfRoot, placeOfLink, type RootMarks } from "./open-files.ts";

export interface StaleUse {
  readonly pid: number;
  readonly command: string;
  readonly kind: "root" | "working directory" | "program" | "library" | "file" | "watch";
  /** as the container saw it; of a watch (inotify(7), fanotify(7)) empty */
  readonly path: string;
}

/** Each path of a process once; processes that end meanwhile are left out. */
export function findStale(pids: readonly number[], marks: RootMarks): StaleUse[] {
  return pids.flatMap((pid) => gone(() => staleUses(pid, marks)) ?? []);
}

const PLACES = [
  ["root", "root"],
  ["cwd", "working directory"],
  ["exe", "program"],
] as const;

function staleUses(pid: number, marks: RootMarks): StaleUse[] {
  const uses: StaleUse[] = [];
  const seen = new Set<string>();
  const command = commandOf(pid);
  const add = (kind: StaleUse["kind"], path: string) => {
    const key = kind === "program" || kind === "library" ? path : `${kind} ${path}`;
    if (seen.has(key)) return;
    seen.add(key);
    uses.push({ pid, command, kind, path });
  };
  for (const [place, kind] of PLACES) {
    if (isOn(`/proc/${pid}/${place}`, marks)) add(kind, readlink(`/proc/${pid}/${place}`) ?? "");
  }
  for (const [path, range] of mappedFiles(pid)) {
    if (isOn(`/proc/${pid}/map_files/${range}`, marks)) add("library", path);
  }
  for (const fd of list(`/proc/${pid}/fd`)) {
    const path = readlink(`/proc/${pid}/fd/${fd}`) ?? "";
    if (path === "anon_inode:inotify" || path === "anon_inode:[fanotify]") {
      if (watches(pid, fd, marks)) add("watch", "");
    } else if (path.startsWith("/") && isOn(`/proc/${pid}/fd/${fd}`, marks)) add("file", path);
  }
  return uses;
}

/** Whether a link of /proc leads to one of the roots; their file systems are not asked. */
function isOn(link: string, marks: RootMarks): boolean {
  return placeOfLink(link, (place) => isOfRoot(marks, place)) ?? false;
}

/** A range of each mapped file. */
function mappedFiles(pid: number): Map<string, string> {
  const ranges = new Map<string, string>();
  for (const line of (readText(`/proc/${pid}/maps`) ?? "").split("\n")) {
    const [, range, path] = /^([0-9a-f]+-[0-9a-f]+) \S+ [0-9a-f]+ \S+ [0-9]+ +(\/.*)$/.exec(line) ?? [];
    if (range !== undefined && path !== undefined && !ranges.has(path)) ranges.set(path, range);
  }
  return ranges;
}

/**
 * Marks of inotify(7) and fanotify(7) on the roots (proc_pid_fdinfo(5)): `sdev` is the device in the kernel's own form, in
 * hexadecimal; a mark of fanotify may name a mount alone, in hexadecimal too.
 */
function watches(pid: number, fd: string, marks: RootMarks): boolean {
  const info = gone(() => readText(`/proc/${pid}/fdinfo/${fd}`)) ?? "";
  return [...info.matchAll(/^(?:in|fan)otify .*\b(sdev|mnt_id):([0-9a-f]+)/gm)].some(([, kind, hex = ""]) => {
    const number = Number.parseInt(hex, 16);
    if (kind === "mnt_id") return marks.mounts.has(number);
    return marks.devices.has(`${number >>> 20}:${number & 0xfffff}`);
  });
}
