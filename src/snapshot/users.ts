/** Who uses an instance that is mounted by hand: processes of the host, of chroots, or of containers on the mount. */
import { VeneerError } from "../errors.ts";
import { lookPatiently } from "../live/look.ts";
import { isOfRoot, openForWriting, placeOfLink, type RootIds } from "../live/open-files.ts";
import type { Members } from "../live/processes.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { gone, listPids, nameOf, namespaceOf } from "../sys/process/processes.ts";
import { identify, parentOf } from "../sys/process.ts";
import { getpid } from "../sys/self.ts";
import { list } from "../sys/stat.ts";
import { printablePath } from "../text/file-names.ts";

/**
 * Looks for the processes that have their root, their working directory, their program or a file on the overlay of that
 * device (`major:minor`). This process and those that wait for it, whose shell may be in the mount, are left out. The
 * first look finds who has only mapped a file, too: it may wait for them, and throws NO_ANSWER. Throws IN_USE where one
 * that waits for this process has mapped a file so that it is written.
 */
export function watchUsers(device: string): { readonly first: Members; look(): Members } {
  const waiting = new Set(ancestors());
  const { pids, rootIds } = inReach(device);
  const mapped = openForWriting(pids, rootIds, lookPatiently);
  const own = mapped.find(({ pid, locked, reads }) => waiting.has(pid) && reads && !locked);
  if (own) {
    throw new VeneerError(
      "IN_USE",
      `process ${own.pid}, ${nameOf(own.pid)}, waits for this command and has ${printablePath(own.path)} open`,
      { hint: "call it from elsewhere" },
    );
  }
  const writers = new Set(mapped.map(({ pid }) => pid));
  const look = () => {
    const reach = inReach(device);
    return members(
      reach.pids.filter((pid) => !waiting.has(pid) && (writers.has(pid) || uses(pid, reach.rootIds))),
    );
  };
  return { first: look(), look };
}

function members(pids: readonly number[]): Members {
  return { pids, outside: pids.flatMap((pid) => identify(pid) ?? []) };
}

/** Processes in whose mount namespace the overlay is, and its mounts there. */
function inReach(device: string): { pids: number[]; rootIds: RootIds } {
  const namespaces = new Map<string, readonly number[]>();
  const mounts = new Set<number>();
  const pids = listPids().filter((pid) => {
    const namespace = namespaceOf(pid, "mnt");
    if (namespace === undefined || pid === getpid()) return false;
    const known = namespaces.get(namespace) ?? mountsOf(pid, device);
    namespaces.set(namespace, known);
    for (const mount of known) mounts.add(mount);
    return known.length > 0;
  });
  return { pids, rootIds: { mounts, devices: new Set([device]) } };
}

function mountsOf(pid: number, device: string): number[] {
  const entries = parseMountinfo(gone(() => readMountinfo(pid)) ?? "");
  return entries.filter((entry) => entry.device === device).map(({ id }) => id);
}

function uses(pid: number, rootIds: RootIds): boolean {
  const isOn = (link: string) => placeOfLink(link, (place) => isOfRoot(rootIds, place)) ?? false;
  const fds = gone(() => list(`/proc/${pid}/fd`)) ?? [];
  const links = [...["root", "cwd", "exe"], ...fds.map((fd) => `fd/${fd}`)];
  return links.some((name) => gone(() => isOn(`/proc/${pid}/${name}`)) ?? false);
}

/** This process and those above it. */
function ancestors(): number[] {
  const pids: number[] = [];
  for (let pid: number | undefined = getpid(); pid !== undefined; pid = parentOf(pid)) pids.push(pid);
  return pids;
}
