/** What the processes of a container still use of a root that was replaced. */
import { readlink } from "../sys/fd.ts";
import { gone } from "../sys/process/processes.ts";
import { list } from "../sys/stat.ts";
import { lookPatiently } from "./look.ts";
import { isOfRoot, placeOfLink, type RootIds } from "./open-files.ts";

export interface StaleUse {
  readonly pid: number;
  readonly command: string;
  readonly kind: "root" | "working directory" | "program" | "library" | "file" | "watch";
  /** as the container saw it; empty for a watch (inotify(7), fanotify(7)) */
  readonly path: string;
}

/** Each path of a process once; processes that end meanwhile are left out. Throws like {@link lookPatiently}. */
export function findStale(pids: readonly number[], rootIds: RootIds): StaleUse[] {
  const all = pids.flatMap((pid) => gone(() => filesOf(pid, rootIds)) ?? []);
  const text = lookPatiently.texts(all.flatMap(({ pid, watching }) => [mapsOf(pid), ...watching]));
  const mapped = new Map(all.map(({ pid }) => [pid, mappedFiles(text(mapsOf(pid)))]));
  const links = [...mapped].flatMap(([pid, ranges]) => [...ranges.values()].map(linkOf(pid)));
  const stats = lookPatiently.stats(links);
  const uses = all.flatMap(({ pid, ...files }) => {
    const libraries = [...(mapped.get(pid) ?? [])].flatMap(([path, range]) => {
      const stat = stats(linkOf(pid)(range));
      return stat && isOfRoot(rootIds, stat) ? [path] : [];
    });
    const isWatching = files.watching.some((info) => watches(text(info), rootIds));
    return gone(() => staleUses(pid, { ...files, libraries, isWatching }, rootIds)) ?? [];
  });
  const command = lookPatiently.commands([...new Set(uses.map(({ pid }) => pid))]);
  return uses.map((use) => ({ ...use, command: command(use.pid) }));
}

const linkOf = (pid: number) => (range: string) => `/proc/${pid}/map_files/${range}`;

interface ProcessFiles {
  readonly pid: number;
  /** on one of the roots */
  readonly open: readonly string[];
  /** its descriptors of inotify(7) and fanotify(7), whose fdinfo lists what they watch */
  readonly watching: readonly string[];
}

const mapsOf = (pid: number) => `/proc/${pid}/maps`;

function filesOf(pid: number, rootIds: RootIds): ProcessFiles {
  const open: string[] = [];
  const watching: string[] = [];
  for (const fd of list(`/proc/${pid}/fd`)) {
    const link = `/proc/${pid}/fd/${fd}`;
    const path = readlink(link) ?? "";
    if (path === "anon_inode:inotify" || path === "anon_inode:[fanotify]")
      watching.push(`/proc/${pid}/fdinfo/${fd}`);
    else if (path.startsWith("/") && isOn(link, rootIds)) open.push(path);
  }
  return { pid, open, watching };
}

const PLACES = [
  ["root", "root"],
  ["cwd", "working directory"],
  ["exe", "program"],
] as const;

type Use = Omit<StaleUse, "command">;

interface Found {
  readonly open: readonly string[];
  readonly libraries: readonly string[];
  readonly isWatching: boolean;
}

function staleUses(pid: number, { open, libraries, isWatching }: Found, rootIds: RootIds): Use[] {
  const uses: Use[] = [];
  const seen = new Set<string>();
  const add = (kind: StaleUse["kind"], path: string) => {
    const key = kind === "program" || kind === "library" ? path : `${kind} ${path}`;
    if (seen.has(key)) return;
    seen.add(key);
    uses.push({ pid, kind, path });
  };
  for (const [place, kind] of PLACES) {
    if (isOn(`/proc/${pid}/${place}`, rootIds)) add(kind, readlink(`/proc/${pid}/${place}`) ?? "");
  }
  for (const path of libraries) add("library", path);
  for (const path of open) add("file", path);
  if (isWatching) add("watch", "");
  return uses;
}

/** Whether a link of /proc leads to one of the roots. Asks no file system. */
function isOn(link: string, rootIds: RootIds): boolean {
  return placeOfLink(link, (place) => isOfRoot(rootIds, place)) ?? false;
}

/** One address range of each mapped file. */
function mappedFiles(maps: string): Map<string, string> {
  const ranges = new Map<string, string>();
  for (const line of maps.split("\n")) {
    const [, range, path] = /^([0-9a-f]+-[0-9a-f]+) \S+ [0-9a-f]+ \S+ [0-9]+ +(\/.*)$/.exec(line) ?? [];
    if (range !== undefined && path !== undefined && !ranges.has(path)) ranges.set(path, range);
  }
  return ranges;
}

/**
 * Marks of inotify(7) and fanotify(7) on the roots (proc_pid_fdinfo(5)): `sdev` is the device in the kernel's own form, in
 * hexadecimal; a mark of fanotify may name a mount alone, in hexadecimal too.
 */
function watches(info: string, rootIds: RootIds): boolean {
  return [...info.matchAll(/^(?:in|fan)otify .*\b(sdev|mnt_id):([0-9a-f]+)/gm)].some(([, kind, hex = ""]) => {
    const number = Number.parseInt(hex, 16);
    if (kind === "mnt_id") return rootIds.mounts.has(number);
    return rootIds.devices.has(`${number >>> 20}:${number & 0xfffff}`);
  });
}
