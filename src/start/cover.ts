/**
 * Covers the root of a container that is being created, from a prestart or createRuntime hook. By then the runtime has
 * mounted root.path and everything below it in the container's mount namespace. A runtime that resolves root.path again
 * before it pivots (older runc, crun) finds the overlay on top. A runtime that holds root.path open
 * (runtime-root-fd.ts) pivots to the root below the overlay, so we follow it there (follow-pivot.ts).
 */
import { VeneerError } from "../errors.ts";
import type { RootOptions } from "../request/oci-config.ts";
import { isAnyOverlay } from "../store/mounts/any-overlay.ts";
import type { Store } from "../store/paths.ts";
import { type FsIds, withFsIds } from "../sys/credentials.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat2, openDirectory } from "../sys/fd.ts";
import { mountStatus } from "../sys/file-place.ts";
import { MS_PRIVATE, O_DIRECTORY, O_PATH, RESOLVE_EXACT, RESOLVE_IN_ROOT, S_IFDIR } from "../sys/flags.ts";
import { attach, setMountAttributes } from "../sys/mount.ts";
import { findChildren, findMount, type MountEntry, readMountinfo } from "../sys/mountinfo.ts";
import { enterMountNamespace, ownPlace } from "../sys/namespace.ts";
import { fstat, isType, type Stat } from "../sys/stat.ts";
import { copyDevices } from "./devices.ts";
import { forkFollower } from "./fork-follower.ts";
import { openMountPoint } from "./open-mount-point.ts";
import { applyRootOptions } from "./root-options.ts";
import { rootHolder, USE_WRAPPER } from "./runtime-root-fd.ts";

/**
 * Whether the root that process `pid` is about to get is already an overlay of ours. A bundle inside an overlay of
 * ours, as in a container that runs containers, does not count: its root is a directory of that overlay, not the
 * overlay's root.
 */
export function isCovered(store: Store, pid: number, rootPath: string): boolean {
  // only a hint, which saves most starts the rest of the work: anyone can choose that name, so it proves nothing
  if (!readMountinfo(pid)?.includes("- overlay veneer:")) return false;
  using top = openDirectory(`/proc/${pid}/root`);
  using root = openRoot(top, rootPath);
  return mountStatus(root.number).isMountRoot && isAnyOverlay(store, root);
}

/**
 * Mounts `overlay` over `rootPath` in the mount namespace of `pid` and moves the mounts below `rootPath` onto it. This
 * thread stays in that namespace. Throws before anything is changed when the runtime has not mounted the root or has no
 * mount namespace of its own. `ids` own what is created in an idmapped overlay. `report` is called later, in another
 * process, when a container whose runtime holds the old root could not be moved to the overlay.
 */
export function cover(
  overlay: Fd,
  { pid, root: rootPath, options }: ContainerRoot,
  ids: FsIds | undefined,
  report: (error: unknown) => void,
): void {
  const table = readMountinfo(pid);
  if (table === undefined) throw new VeneerError("GONE", `the container's process ${pid} is gone`);
  using home = ownPlace();
  using process = openDirectory(`/proc/${pid}`);
  enterMountNamespace(pid);
  using top = openDirectory("/");
  using root = openRoot(top, rootPath);
  const status = fstat(root.number);
  const rootMount = findRootMount(table, status, pid, rootPath);
  const holder = rootHolder(pid, status);
  // nothing may propagate to other namespaces; besides, a mount below a shared mount cannot be moved
  if (rootMount.propagation.some((field) => field.startsWith("shared:"))) {
    setMountAttributes(root, { propagation: MS_PRIVATE }, rootMount.target);
  }
  const children = openChildren(root, rootMount, table);
  const fill = () => {
    attach(overlay, root, rootPath);
    for (const child of children) moveChild(child, overlay);
    if (!children.some((child) => child.path === "dev")) copyDevices(root, overlay);
    if (holder === "crun") applyRootOptions(overlay, options);
  };
  if (ids) withFsIds(ids, fill);
  else fill();
  if (holder === "held") forkFollower({ pid, process, overlay, root, top }, home, report);
}

export interface ContainerRoot {
  /** the container's first process */
  readonly pid: number;
  /** root.path */
  readonly root: string;
  readonly options: RootOptions;
}

/** Follows symbolic links in root.path, but stays inside the root of the namespace. */
function openRoot(top: Fd, rootPath: string): Fd {
  try {
    return openat2(top.number, rootPath, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
  } catch (cause) {
    if (!isErrno(cause, "ENOENT", "ENOTDIR")) throw cause;
    throw new VeneerError("NO_ROOT", "the runtime does not have the root at its path", {
      cause,
      hint: USE_WRAPPER,
    });
  }
}

function findRootMount(table: string, root: Stat, pid: number, rootPath: string): MountEntry {
  const mount = root.isMountRoot ? findMount(table, Number(root.mountId)) : undefined;
  if (mount && mount.target !== "/") return mount;
  throw new VeneerError("NO_ROOT", `the runtime has not mounted ${rootPath} for process ${pid}`, {
    hint: USE_WRAPPER,
  });
}

interface Child {
  /** relative to the root */
  readonly path: string;
  readonly type: string;
  readonly top: Fd;
}

/** The visible mounts directly on the root, in the order in which they were mounted. */
function openChildren(root: Fd, rootMount: MountEntry, table: string): Child[] {
  const prefix = `${rootMount.target}/`;
  const children: Child[] = [];
  const direct = findChildren(table, rootMount.id).filter((mount) => mount.target.startsWith(prefix));
  for (const mount of direct) {
    // a later mount above it hides it, as it will in the container
    if (direct.some((other) => mount.target.startsWith(`${other.target}/`))) continue;
    const path = mount.target.slice(prefix.length);
    const top = openat2(root.number, path, O_PATH, RESOLVE_EXACT);
    const topId = Number(fstat(top.number).mountId);
    const type = (topId === mount.id ? mount : (findMount(table, topId) ?? mount)).type;
    children.push({ path, type, top });
  }
  return children;
}

/** Moves the mount instead of cloning it: the runtime may hold it open, and unbindable mounts cannot be cloned. */
function moveChild(child: Child, overlay: Fd): void {
  const { path, top } = child;
  const strict = child.type === "proc" || child.type === "sysfs";
  const kind = isType(fstat(top.number), S_IFDIR) ? "directory" : "file";
  using point = openMountPoint(overlay, path, kind, strict);
  const found = isType(fstat(point.number), S_IFDIR) ? "directory" : "file";
  if (found !== kind) {
    throw new VeneerError("MOUNT_TYPE", `mount a ${kind} on /${path}, which is a ${found} in the base`);
  }
  attach(top, point, path);
  top[Symbol.dispose]();
}
