/** Moves the mounts on one root to the same places of another, in this thread's mount namespace. */
import { VeneerError } from "../errors.ts";
import { openMountPoint } from "../start/open-mount-point.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat2 } from "../sys/fd.ts";
import { openFilePlace } from "../sys/file-place.ts";
import { O_PATH, RESOLVE_EXACT, RESOLVE_NO_XDEV, S_IFDIR } from "../sys/flags.ts";
import { attach, attachBeneath } from "../sys/mount.ts";
import { isType } from "../sys/stat.ts";
import type { Place } from "./mounts.ts";

/** The mount points on a root to which mounts will move, opened while nothing covers them. */
export type Targets = ReadonlyMap<string, Fd>;

/**
 * Opens the mount points on `to`. A missing one is made, of the kind that `from` has. Throws where one is of another
 * kind or behind a symbolic link.
 */
export function openTargets(places: readonly Place[], from: Fd, to: Fd): Map<string, Fd> {
  const targets = new Map<string, Fd>();
  try {
    for (const { path } of places) {
      using source = openExact(from, path);
      const target = openExact(to, path) ?? makeTarget(to, path, source);
      targets.set(path, target);
      if (source && isDirectory(source) !== isDirectory(target)) {
        throw new VeneerError(
          "MOUNT_TYPE",
          `mount point /${path} is ${kind(source)} now and ${kind(target)} in the new root`,
        );
      }
    }
    return targets;
  } catch (error) {
    for (const target of targets.values()) target[Symbol.dispose]();
    throw error;
  }
}

/** Undefined where nothing is there. */
export function openExact(root: Fd, path: string): Fd | undefined {
  try {
    return openOn(root, path);
  } catch (cause) {
    // EXDEV: another mount covers a directory above it
    if (isErrno(cause, "ENOENT", "EXDEV")) return undefined;
    if (!isErrno(cause, "ELOOP", "ENOTDIR")) throw cause;
    throw new VeneerError(
      "MOUNT_TYPE",
      `mount point /${path} is behind a symbolic link or a file in the new root`,
      {
        cause,
        hint: "stop the container and rebase it then: its runtime resolves the path again",
      },
    );
  }
}

/**
 * Enters a mount at the last component alone: the look-up asks the root's own file system, and none that is mounted
 * on it. Follows no link: the path of a mount point in mountinfo has none, and a link in the new root would lead
 * elsewhere.
 */
function openOn(root: Fd, path: string): Fd {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return openat2(root.number, path, O_PATH, RESOLVE_EXACT);
  using parent = openat2(root.number, path.slice(0, slash), O_PATH, RESOLVE_EXACT | RESOLVE_NO_XDEV);
  return openat2(parent.number, path.slice(slash + 1), O_PATH, RESOLVE_EXACT);
}

function makeTarget(to: Fd, path: string, source: Fd | undefined): Fd {
  if (!source) {
    throw new VeneerError(
      "MOUNT_TYPE",
      `mount point /${path} is hidden by another mount, and the new root lacks it`,
    );
  }
  openMountPoint(to, path, isDirectory(source) ? "directory" : "file", false)[Symbol.dispose]();
  return openExact(to, path) as Fd;
}

function isDirectory(fd: Fd): boolean {
  return isType(openFilePlace(fd.number), S_IFDIR);
}

function kind(fd: Fd): string {
  return isDirectory(fd) ? "a directory" : "a file";
}

/**
 * Moves all mounts of the places. They are moved, not cloned, so that ids, peer groups, and descriptors and working
 * directories on them stay as they are; mounts that cannot be bound, or are locked below others, move too. Throws at
 * the first that cannot be moved, or when `pace` throws, which is called before each place. A call in the other
 * direction returns what had been moved by then.
 */
export function moveMounts(
  places: readonly Place[],
  from: Fd,
  targets: Targets,
  pace: () => void = () => {},
): void {
  for (const { path, stack } of places) {
    pace();
    const target = targets.get(path) as Fd;
    let above: Fd | undefined;
    try {
      for (const id of [...stack].reverse()) {
        const mount = openMount(from, path, id);
        if (!mount) continue;
        if (above) attachBeneath(mount, above, `/${path}`);
        else attach(mount, target, `/${path}`);
        above?.[Symbol.dispose]();
        above = mount;
      }
    } finally {
      above?.[Symbol.dispose]();
    }
  }
}

/**
 * The mount that is visible at a place of `from`; undefined where that is another mount, since this one was moved
 * before.
 */
function openMount(from: Fd, path: string, id: number): Fd | undefined {
  const mount = openOn(from, path);
  if (Number(openFilePlace(mount.number).mountId) === id) return mount;
  mount[Symbol.dispose]();
  return undefined;
}
