/** Inspects a running container before it gets another root. */
import { VeneerError } from "../errors.ts";
import { withProcesses } from "../inventory/running.ts";
import { isRootOf } from "../store/mounts/roots.ts";
import type { UseRecord } from "../store/records.ts";
import { isErrno } from "../sys/errno.ts";
import { openDirectory } from "../sys/fd.ts";
import { mountStatus, openFilePlace } from "../sys/file-place.ts";
import { canAttachBeneath } from "../sys/mount.ts";
import { type MountEntry, parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { namespaceOf } from "../sys/process/processes.ts";
import { identify, type ProcessIdentity } from "../sys/process.ts";
import { mountPointsOn } from "./mounts.ts";
import type { RootIds } from "./open-files.ts";
import { rootIdsOf } from "./open-files.ts";
import { requireRoot } from "./pivot.ts";
import { findMembers, type Members } from "./processes.ts";
import { type Copy, findCopies, selfBinds } from "./root-copies.ts";

/** A running container, as a switch needs to know it. */
export interface LiveContainer {
  readonly record: UseRecord;
  readonly init: ProcessIdentity;
  readonly root: MountEntry;
  /** parts of the root that are mounted a second time */
  readonly bound: readonly MountEntry[];
  /** further namespaces with a copy of the root */
  readonly copies: readonly Copy[];
  readonly members: Members;
  readonly rootIds: RootIds;
  /** it has a user namespace of its own, to which its root is idmapped */
  readonly mapped: boolean;
}

/** Mount id of a process's root. A user without root reaches it from the container's own user namespace alone. */
function rootMountOf(name: string, pid: number): number {
  try {
    using root = openDirectory(`/proc/${pid}/root`);
    return Number(openFilePlace(root.number).mountId);
  } catch (cause) {
    if (!isErrno(cause, "EACCES")) throw cause;
    throw new VeneerError("USER_NAMESPACE", `container ${name} is in another user namespace of this user`, {
      cause,
      hint: `'veneer rebase ${name} BASE' enters it`,
    });
  }
}

/** For a container whose record is of version 0.1: {@link isRootOf} decides whether it is the right one. */
function deviceOfRoot(pid: number): string {
  using root = openDirectory(`/proc/${pid}/root`);
  return mountStatus(root.number).device;
}

/** Stacked mounts are moved in their order, which takes MOVE_MOUNT_BENEATH. */
function refuseStacks(mounts: readonly MountEntry[], root: number, name: string): void {
  const stacked = mountPointsOn(mounts, root).find(({ stack }) => stack.length > 1);
  if (!stacked || canAttachBeneath()) return;
  throw new VeneerError("STACKED", `several mounts are stacked on /${stacked.path} in container ${name}`, {
    hint: "Linux 6.5 or later can move them; unmount the upper one, or stop the container to rebase it",
  });
}

/** Throws where the container cannot get another root while it runs. Changes nothing. */
export function inspectLive(record: UseRecord): LiveContainer {
  const name = record.container ?? record.key;
  refuseKinds(record, name);
  const [running] = withProcesses([record]);
  const init = running?.pid === undefined ? undefined : identify(running.pid);
  if (!init) {
    if (!record.overlay) {
      throw new VeneerError(
        "UNKNOWN_PROCESS",
        `cannot tell which process is container ${name}: version 0.1 started it`,
        {
          hint: "stop it, and start it again",
        },
      );
    }
    throw new VeneerError("NOT_RUNNING", `container ${name} is being started or stopped`, {
      hint: "try again in a moment",
    });
  }
  const mounts = parseMountinfo(readMountinfo(init.pid) ?? "");
  const root = requireRoot(mounts, new Set([record.overlay?.device ?? deviceOfRoot(init.pid)]));
  if (rootMountOf(name, init.pid) !== root.id || !isRootOf(init.pid, record)) {
    throw new VeneerError(
      "NO_ROOT",
      `process ${init.pid} of container ${name} does not have the container's root`,
      {
        hint: "it is being started, or runs in a chroot; stop the container to rebase it",
      },
    );
  }
  const mapped = namespaceOf(init.pid, "user") !== namespaceOf(process.pid, "user");
  if (mapped && !record.idmap) {
    throw new VeneerError("USER_NAMESPACE", `container ${name} has a user namespace of its own`, {
      hint: "stop it to rebase it: its root cannot be switched while it runs",
    });
  }
  refuseStacks(mounts, root.id, name);
  const bound = selfBinds(mounts, root);
  const parents = new Set(mounts.map(({ parent }) => parent));
  const covered = bound.find(({ id }) => parents.has(id));
  if (covered) {
    throw new VeneerError(
      "IN_USE",
      `${covered.target} in container ${name} is a part of its root that is mounted a second time, with mounts on it`,
      {
        hint: "it would stay on the old version; stop the container to rebase it",
      },
    );
  }
  const members = findMembers(init.pid);
  const roots = [{ mount: root.id, device: root.device }, ...(record.remains ?? [])];
  const rootIds = rootIdsOf(roots, init.pid, members.pids);
  const copies = findCopies(rootIds.devices, init.pid, members.pids);
  return { record, init, root, bound, copies, members, rootIds, mapped };
}

function refuseKinds(record: UseRecord, name: string): void {
  const refuse = (what: string, hint = "stop it to rebase it") => {
    throw new VeneerError("NOT_RUNNING", `container ${name} ${what}`, { hint });
  };
  if (record.tmpfs)
    refuse(
      "keeps its writes in memory, where no second root can reach them",
      "they go when it stops: start it on the other version",
    );
  if (record.image) refuse("has the tree of an image above its base (run.veneer.rootfs=layer)");
}
