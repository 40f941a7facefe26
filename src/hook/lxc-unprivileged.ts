/**
 * The root of an LXC container with a user namespace that root starts. At pre-start nothing of the container exists, so
 * the root is mounted on the host, and the container's mount namespace gets a copy of that mount. At start-host, when
 * it is the container's root, it is unmounted on the host.
 */

import { VeneerError } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import type { LxcHook } from "../request/lxc-hook.ts";
import type { RootRequest } from "../request/root-request.ts";
import { isReached } from "../start/mount-point.ts";
import { reclaim } from "../start/release.ts";
import { start } from "../start/start.ts";
import { isMountedAtTarget } from "../store/mounts/identity.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { readMountTable } from "../store/mounts/mount-tables.ts";
import type { Store } from "../store/paths.ts";
import { listRecords, readRecord, replaceRecord } from "../store/records.ts";
import type { FsIds } from "../sys/credentials.ts";
import { type Fd, flock, openat, openDirectory, readlink } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, MNT_DETACH, O_DIRECTORY, O_RDONLY, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { umountQuietly } from "../sys/mount.ts";
import { parseMountinfo } from "../sys/mountinfo.ts";
import { identify, identifyParent, type ProcessIdentity } from "../sys/process.ts";
import { sleep } from "../sys/self.ts";
import { fstat } from "../sys/stat.ts";
import { type IdMap, NOBODY } from "../sys/user-namespace.ts";
import { displayName } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { requireRoot, usernsOfMap } from "../userns/of-container.ts";

interface Place {
  /** lxc.idmap */
  readonly map?: IdMap;
  /** the directory that LXC uses as the root */
  readonly target: string;
}

/** Mounts the root on the host. Throws when other users could reach it, or the container's root could not. */
export function startOnHost(
  settings: Settings,
  request: RootRequest,
  hook: LxcHook,
  key: string,
  { map, target }: Place,
): void {
  const { store } = settings;
  const container = displayName(hook.name);
  if (!map) {
    throw new VeneerError(
      "NO_PRE_MOUNT",
      `container ${container} has no user namespace (lxc.idmap), and no lxc.hook.pre-mount to mount its root`,
      {
        hint: `set lxc.hook.pre-mount like lxc.hook.pre-start, or run 'veneer setup lxc ${container}' again`,
      },
    );
  }
  for (const [kind, ranges] of [
    ["u", map.uids],
    ["g", map.gids],
  ] as const) {
    if (ranges.length > 0) continue;
    throw new VeneerError("NO_ID_MAP", `container ${container} has no line 'lxc.idmap = ${kind} …'`);
  }
  const directory = canonical(target);
  checkReach(container, directory, requireRoot(map));
  const monitor = identifyParent();
  if (monitor) forgetEarlier(store, key, monitor);
  using _place = lockPlace(directory);
  waitForPlace(store, key, directory);
  using userns = usernsOfMap(store, map);
  start(settings, request, {
    engine: "lxc",
    key,
    container: hook.name,
    ...(hook.config !== "" && { bundle: hook.config }),
    // LXC executes the hook directly, so the parent is the container's monitor; the container ends with it
    ...(monitor && { preparer: monitor }),
    userns,
    mountAt: { kind: "directory", placement: "host", path: directory },
  });
}

/** The path of a directory as it appears in mountinfo. */
function canonical(directory: string): string {
  using fd = openDirectory(directory);
  return readlink(fd.path) as string;
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** A user who has no id of the container's and is in no group of it. */
const STRANGER: FsIds = { uid: NOBODY, gid: NOBODY };

/**
 * Throws unless only root and the container's users can reach the mount on the host: it holds set-user-ID files of the
 * container's users.
 */
function checkReach(container: string, directory: string, owner: FsIds): void {
  const above = parent(directory);
  const hint = `chown ${owner.uid}:${owner.gid} ${quote(above)} && chmod 0770 ${quote(above)}`;
  if (!isReached(directory, owner)) {
    throw new VeneerError(
      "UNREACHABLE",
      `root of container ${container} (uid ${owner.uid}) cannot reach ${quote(directory)}`,
      { hint: `${hint}, and let others pass through the directories above (chmod o+x)` },
    );
  }
  if (isReached(directory, STRANGER)) {
    throw new VeneerError("TOO_OPEN", `every user of the host could reach ${quote(directory)}`, { hint });
  }
}

/** Locks a directory for a start; a second simultaneous start on it waits. */
function lockPlace(directory: string): Fd {
  const above = parent(directory);
  const fd = openat(AT_FDCWD, above, O_RDONLY | O_DIRECTORY);
  flock(fd.number, LOCK_EX, above);
  return fd;
}

/** Milliseconds that another container may take from pre-start to start-host. */
const START_TIME = 5000;

/**
 * Waits until another container's root is unmounted from the directory; throws when it stays mounted. Ephemeral copies
 * (lxc-copy -e) use the directory of their original, and a mount below another could not be unmounted separately.
 */
function waitForPlace(store: Store, key: string, directory: string): void {
  for (const end = Date.now() + START_TIME; isCovered(directory); sleep(5)) {
    const before = listRecords(store).find(
      (record) => record.placement === "host" && record.target === directory && record.key !== key,
    );
    if (!before) return;
    if (!isLive(before)) reclaim(store, before);
    else if (Date.now() > end) {
      throw new VeneerError(
        "BUSY",
        `${quote(directory)} is the root of ${displayName(before.container ?? before.key)}`,
        {
          hint: "stop that container, or set lxc.hook.start-host for it, which moves the root off the host",
        },
      );
    }
  }
}

function isCovered(directory: string): boolean {
  using here = openDirectory(directory);
  using above = openDirectory(parent(directory));
  return fstat(here.number).mountId !== fstat(above.number).mountId;
}

/** Releases the record of before a reboot, for which the same monitor restarts the container without post-stop. */
function forgetEarlier(store: Store, key: string, monitor: ProcessIdentity): void {
  const old = readRecord(store, key);
  if (old?.preparer.pid === monitor.pid && old.preparer.startTime === monitor.startTime) reclaim(store, old);
}

/**
 * Unmounts the root on the host once it is the root of the container's process `init`; from then on it disappears with
 * the container's mount namespace. Does nothing for a container whose root is not on the host. Idempotent.
 */
export function leaveHost(store: Store, key: string, init: string | undefined): void {
  const record = readRecord(store, key);
  const { placement, target } = record ?? {};
  if (!record || placement !== "host" || target === undefined || !isMountedAtTarget(record)) return;
  const process = identify(Number(init));
  if (!process || !isRoot(readMountTable(process.pid) ?? "", record.overlay?.device, target)) return;
  umountQuietly(target, MNT_DETACH | UMOUNT_NOFOLLOW);
  // only after the unmount, so that the record leads to a mount that remains on the host
  replaceRecord(store, { ...record, placement: "container", process });
}

/**
 * Whether the overlay is the container's root, or the lower layer of the overlay that LXC mounts for an ephemeral copy.
 * LXC uses the directory as the source of that overlay, which is reliable here: nothing of the container has run yet
 * that could choose the same source.
 */
function isRoot(table: string, device: string | undefined, target: string): boolean {
  const roots = parseMountinfo(table).filter((mount) => mount.target === "/" && mount.type === "overlay");
  return roots.some((mount) => mount.device === device || mount.source === target);
}
