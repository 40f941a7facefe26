/**
 * Mounts that are visible in this mount namespace only, although it shares all others with the one it was copied from.
 *
 * unshare(2) leaves the copies of shared mounts in their peer groups (mount_namespaces(7)), so what a runtime, its
 * hooks and containers with shared volumes mount still propagates to the host, as without us. Our own mounts must not.
 * So the mount that we mount on leaves its peer group for a moment. A detached copy stays in the group, and the mount
 * rejoins the group through it (move_mount(2), MOVE_MOUNT_SET_GROUP, Linux 5.15).
 */
import { errno, isErrno, SysError } from "./errno.ts";
import { type Fd, openat, readlink } from "./fd.ts";
import {
  AT_FDCWD,
  CLONE_NEWNS,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_SET_GROUP,
  MOVE_MOUNT_T_EMPTY_PATH,
  MS_PRIVATE,
  MS_REC,
  MS_SLAVE,
  O_DIRECTORY,
  O_PATH,
} from "./flags.ts";
import { isKernelSince } from "./kernel.ts";
import { check, cstring, syscall } from "./libc.ts";
import { attach, clonePeer, mount, setMountAttributes } from "./mount.ts";
import { SYS } from "./numbers.ts";
import { fstat, statMaybe } from "./stat.ts";

/** Whether the kernel can let a mount rejoin its peer group: since Linux 5.15. */
export function keepsGroups(): boolean {
  return isKernelSince(5, 15);
}

/** Moves this process into a copy of its mount namespace, which disappears with the last process in it. */
export function unshareMounts(): void {
  check(syscall(SYS.unshare, CLONE_NEWNS), "unshare", "CLONE_NEWNS");
}

/** From now on, mounts in this namespace do not propagate to others; mounts in others still propagate to this one. */
export function keepMountsHere(): void {
  mount(null, "/", null, MS_REC | MS_SLAVE);
}

/**
 * Like `attach`, but visible in this mount namespace only. `target` is a directory, or a file in `directory`. In a user
 * namespace the mount below may not be able to rejoin its peer group: it cannot be copied when mounts on it belong to a
 * more privileged namespace.
 */
export function attachHere(what: Fd, target: Fd, name: string, directory = target): void {
  const place = fstat(target.number).isMountRoot ? target : mountRoot(directory);
  try {
    using peer = copyMaybe(place);
    setMountAttributes(place, { propagation: MS_PRIVATE }, name);
    try {
      attach(what, target, name);
    } finally {
      if (peer) joinGroup(place, peer, name);
    }
  } finally {
    if (place !== target && place !== directory) place[Symbol.dispose]();
  }
}

/** A detached copy in the same peer group; undefined where the kernel refuses to make one. */
function copyMaybe(place: Fd): Fd | undefined {
  try {
    return clonePeer(place.number, "", false);
  } catch (error) {
    if (isErrno(error, "EINVAL")) return undefined;
    throw error;
  }
}

function joinGroup(place: Fd, peer: Fd, name: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH | MOVE_MOUNT_SET_GROUP;
  const empty = cstring("");
  const result = syscall(SYS.move_mount, peer.number, empty, place.number, empty, flags);
  // EINVAL: the mount was in no peer group, or the kernel does not know the flag
  if (result === 0 || result === -(errno.EINVAL as number)) return;
  throw new SysError(-result, "move_mount MOVE_MOUNT_SET_GROUP", name);
}

/** The root of the mount that holds a directory: the first directory on its path from / that is in that mount. */
function mountRoot(directory: Fd): Fd {
  const { mountId } = fstat(directory.number);
  const path = readlink(directory.path) ?? "/";
  for (let end = 0; end >= 0 && path !== "/"; end = path.indexOf("/", end + 1)) {
    const prefix = path.slice(0, end) || "/";
    const status = statMaybe(prefix);
    if (status?.mountId !== mountId) continue;
    const root = openat(AT_FDCWD, prefix, O_PATH | O_DIRECTORY);
    const found = fstat(root.number);
    if (found.isMountRoot && found.mountId === mountId) return root;
    root[Symbol.dispose]();
    break;
  }
  return climb(directory);
}

/** Like {@link mountRoot}, but walks up with `..`, which works even where other mounts cover the path. */
function climb(directory: Fd): Fd {
  let at = directory;
  while (!fstat(at.number).isMountRoot) {
    const parent = openat(at.number, "..", O_PATH | O_DIRECTORY);
    if (at !== directory) at[Symbol.dispose]();
    at = parent;
  }
  return at;
}
