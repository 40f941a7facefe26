/**
 * The root of an LXC container with a user namespace that root starts. Nothing of the container exists at pre-start:
 * so the root is mounted on the host and gets into the container's mount namespace as its copy of that mount; when
 * the container has it as its root, at start-host, it leaves the host's mount table.
 */
import { isReached } from "./apply/mount-point.ts";
import { reclaim } from "./apply/release.ts";
import { start } from "./apply/start.ts";
import { rootOf, usernsOfMap } from "./apply/userns.ts";
import { VeneerError } from "./errors.ts";
import type { Settings } from "./input/config.ts";
import type { LxcHook } from "./input/lxc.ts";
import type { RootRequest } from "./input/request.ts";
import { displayName } from "./names.ts";
import { quote } from "./quote.ts";
import { mountsSource, readMountTable } from "./store/liveness.ts";
import type { Store } from "./store/paths.ts";
import { readRecord, replaceRecord } from "./store/records.ts";
import type { FsIds } from "./sys/credentials.ts";
import { openDirectory, readlink } from "./sys/fd.ts";
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "./sys/flags.ts";
import { umountQuietly } from "./sys/mount.ts";
import { identify, identifyParent, type ProcessIdentity } from "./sys/process.ts";
import type { IdMap } from "./sys/userns.ts";

interface Place {
  /** lxc.idmap */
  readonly map?: IdMap;
  /** the directory that LXC will use as the root */
  readonly target: string;
}

/** Mounts the root. Throws where other users of the host would reach it, or the container's root would not. */
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
    throw new VeneerError("NO_MAP", `container ${container} has no line 'lxc.idmap = ${kind} …'`);
  }
  const directory = canonical(target);
  checkReach(container, directory, rootOf(map));
  const monitor = identifyParent();
  if (monitor) forgetEarlier(store, key, monitor);
  using userns = usernsOfMap(store, map);
  start(settings, request, {
    engine: "lxc",
    key,
    container: hook.name,
    ...(hook.config !== "" && { bundle: hook.config }),
    // LXC execs the hook: the parent is the container's monitor, with whose end LXC lets the container end
    ...(monitor && { preparer: monitor }),
    userns,
    place: { placement: "host", target: directory },
  });
}

/** As mountinfo will show it. */
function canonical(directory: string): string {
  using fd = openDirectory(directory);
  return readlink(fd.path) as string;
}

/** Users of no id of the container's, in no group (overflowuid). */
const NOBODY: FsIds = { uid: 65534, gid: 65534 };

/**
 * The mount on the host has the container's set-user-ID files, whose ids are those of the container's users: only
 * they and root may reach it.
 */
function checkReach(container: string, directory: string, owner: FsIds): void {
  const above = directory.slice(0, directory.lastIndexOf("/")) || "/";
  const hint = `chown ${owner.uid}:${owner.gid} ${quote(above)} && chmod 0770 ${quote(above)}`;
  if (!isReached(directory, owner)) {
    throw new VeneerError(
      "CLOSED",
      `root of container ${container} (uid ${owner.uid}) cannot reach ${quote(directory)}`,
      { hint: `${hint}, and let others pass through the directories above (chmod o+x)` },
    );
  }
  if (isReached(directory, NOBODY)) {
    throw new VeneerError("OPEN", `every user of the host could reach ${quote(directory)}`, { hint });
  }
}

/** A reboot: the same monitor starts the container again, and there is no post-stop hook. */
function forgetEarlier(store: Store, key: string, monitor: ProcessIdentity): void {
  const old = readRecord(store, key);
  if (old?.preparer.pid === monitor.pid && old.preparer.startTime === monitor.startTime) reclaim(store, old);
}

/**
 * Takes the root off the host when the container `init` has it: from now on it goes with the container's mount
 * namespace. Does nothing for a container whose root is not on the host. Idempotent.
 */
export function leaveHost(store: Store, key: string, init: string | undefined): void {
  const record = readRecord(store, key);
  const { placement, source, target } = record ?? {};
  if (!record || placement !== "host" || source === undefined || target === undefined) return;
  const process = identify(Number(init));
  if (!process || !mountsSource(readMountTable(process.pid) ?? "", source, target)) return;
  umountQuietly(target, MNT_DETACH | UMOUNT_NOFOLLOW);
  // not before: what the host still has is to be found by the record
  replaceRecord(store, { ...record, placement: "container", process });
}
