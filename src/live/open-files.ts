/** Files of a container's root that its processes have open for writing (proc_pid_fd(5), proc_pid_fdinfo(5)). */

import type { FormerRoot } from "../store/records.ts";
import { isErrno } from "../sys/errno.ts";
import { readlink } from "../sys/fd.ts";
import { type FilePlace, filePlace } from "../sys/file-place.ts";
import { AT_FDCWD, S_IFIFO, S_IFMT, S_IFREG } from "../sys/flags.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { gone, namespaceOf } from "../sys/process/processes.ts";
import { isType, list, lstatMaybe, type Stat, statMaybe } from "../sys/stat.ts";
import type { Look } from "./look.ts";

/** What identifies the files of a root: its mounts, and the device of its directories. */
export interface RootIds {
  readonly mounts: ReadonlySet<number>;
  /** `major:minor` */
  readonly devices: ReadonlySet<string>;
}

export function isOfRoot(rootIds: RootIds, stat: Pick<Stat, "mountId" | "dev">): boolean {
  return rootIds.mounts.has(Number(stat.mountId)) || rootIds.devices.has(stat.dev);
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

/** A process and what it has open for writing. */
interface Candidates {
  readonly pid: number;
  readonly files: readonly Candidate[];
}

interface Candidate {
  /** its link in /proc */
  readonly link: string;
  readonly info: string;
  readonly reads: boolean;
  readonly stat: Stat;
}

const mapsOf = (pid: number) => `/proc/${pid}/maps`;

/**
 * What the processes have open for writing, or mapped writable and shared, on the root; deleted files are left out.
 * `pace` is called now and then, and may throw.
 */
export function openForWriting(
  pids: readonly number[],
  rootIds: RootIds,
  look: Look,
  pace: () => void = () => {},
): Opened[] {
  const all = pids.flatMap((pid): Candidates[] => {
    pace();
    const files = gone(() => [...descriptorsOf(pid, rootIds, pace)]);
    return files ? [{ pid, files }] : [];
  });
  const text = look.texts(all.flatMap(({ pid, files }) => [mapsOf(pid), ...files.map(({ info }) => info)]));
  const mapped = new Map(
    all.map(({ pid }) => {
      pace();
      return [pid, sharedMappings(text(mapsOf(pid)))] as const;
    }),
  );
  const stats = look.stats([...mapped].flatMap(([pid, ranges]) => [...ranges.values()].map(linkOf(pid))));
  const opened = all.flatMap(({ pid, files }) => {
    pace();
    const isFile = (stat: Stat) => isOfRoot(rootIds, stat) && isType(stat, S_IFREG) && stat.nlink > 0;
    const own = files.map(({ link, info, reads, stat }) => {
      const kind = isType(stat, S_IFREG) ? ("file" as const) : ("fifo" as const);
      const path = gone(() => readlink(link)) ?? "";
      return { pid, path, kind, reads, locked: /^lock:/m.test(text(info)), stat };
    });
    const ranges = [...(mapped.get(pid) ?? [])];
    const shared = ranges.flatMap(([path, range]) => {
      const stat = stats(linkOf(pid)(range));
      return stat && isFile(stat)
        ? [{ pid, path, kind: "file" as const, reads: true, locked: false, stat }]
        : [];
    });
    return [...own, ...shared];
  });
  const command = look.commands([...new Set(opened.map(({ pid }) => pid))]);
  const names = new Map<number, string>();
  return opened.map((one) => {
    const name = names.get(one.pid) ?? command(one.pid);
    names.set(one.pid, name);
    return { ...one, command: name };
  });
}

const linkOf = (pid: number) => (range: string) => `/proc/${pid}/map_files/${range}`;

/**
 * Status of the file that a link of /proc leads to, where it is on one of the roots; otherwise undefined, as where it
 * is in no file system, or gone. Of a file on another mount only the place is asked for: its file system may be a
 * server of the container's own, which never answers.
 */
function statOnRoot(path: string, rootIds: RootIds): Stat | undefined {
  return placeOfLink(path, (place) => (isOfRoot(rootIds, place) ? statMaybe(path) : undefined));
}

/** The result of `look` for the place that a link of /proc leads to; undefined where it leads to none, or is gone. */
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

/** Open files, by the permissions of their links, which are those of the open file (proc_pid_fd(5)). */
function* descriptorsOf(pid: number, rootIds: RootIds, pace: () => void): Generator<Candidate> {
  let count = 0;
  for (const fd of list(`/proc/${pid}/fd`)) {
    if (++count % PACE === 0) pace();
    const link = `/proc/${pid}/fd/${fd}`;
    const { mode = 0 } = lstatMaybe(link) ?? {};
    const reads = (mode & S_IRUSR) !== 0;
    const writes = (mode & S_IWUSR) !== 0;
    if (!reads && !writes) continue;
    const stat = statOnRoot(link, rootIds);
    const type = (stat?.mode ?? 0) & S_IFMT;
    if (!stat || stat.nlink === 0 || !(type === S_IFIFO || (type === S_IFREG && writes))) continue;
    yield { link, info: `/proc/${pid}/fdinfo/${fd}`, reads, stat };
  }
}

const S_IRUSR = 0o400;
const S_IWUSR = 0o200;

/** One address range of each file that is mapped shared and writable; its descriptor may be closed by now. */
function sharedMappings(maps: string): ReadonlyMap<string, string> {
  const ranges = new Map<string, string>();
  for (const line of maps.split("\n")) {
    const [, range, path] = /^([0-9a-f]+-[0-9a-f]+) .w.s [0-9a-f]+ \S+ [0-9]+ +(\/.*)$/.exec(line) ?? [];
    if (range !== undefined && path !== undefined && !ranges.has(path)) ranges.set(path, range);
  }
  return ranges;
}

/**
 * The ids of roots (mount and device of each) and of their copies in other mount namespaces of the processes. Where
 * the layers are on several file systems, files do not have the overlay's device, and only the mount identifies them.
 */
export function rootIdsOf(
  roots: readonly Pick<FormerRoot, "mount" | "device" | "copies">[],
  init: number,
  pids: readonly number[],
): RootIds {
  const devices = new Set(roots.map(({ device }) => device));
  const mounts = new Set(roots.flatMap(({ mount, copies = [] }) => [mount, ...copies]));
  const seen = new Set([namespaceOf(init, "mnt")]);
  for (const pid of pids) {
    const namespace = namespaceOf(pid, "mnt");
    if (seen.has(namespace)) continue;
    seen.add(namespace);
    for (const { id, device } of parseMountinfo(gone(() => readMountinfo(pid)) ?? "")) {
      if (devices.has(device)) mounts.add(id);
    }
  }
  return { mounts, devices };
}
