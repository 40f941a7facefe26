/**
 * User namespaces kept by bind mounts of their files in RUN/userns, one for each pair of maps: the next start with
 * the same maps needs no process for it. They are only kept for that, so any may go at any time.
 */
import { paths, type Store } from "../store/paths.ts";
import { isErrno, SysError } from "../sys/errno.ts";
import { type Fd, flock, mkdirs, openat, openatMaybe, readText, unlinkQuietly } from "../sys/fd.ts";
import {
  AT_FDCWD,
  LOCK_EX,
  MNT_DETACH,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  UMOUNT_NOFOLLOW,
} from "../sys/flags.ts";
import { attach, cloneTree, umountQuietly } from "../sys/mount.ts";
import { withMountNamespace } from "../sys/namespace.ts";
import { parentOf } from "../sys/process.ts";
import { fstat, listFd, statMaybe } from "../sys/stat.ts";
import { isNamespace } from "../sys/user-namespace.ts";

/** Engines can give each container maps of its own (podman's --userns=auto): those are not worth a mount each. */
const LIMIT = 32;

/** A kept namespace, open; undefined where there is none. */
export function openKept(store: Store, name: string): Fd | undefined {
  const fd = openatMaybe(AT_FDCWD, `${paths.namespaces(store)}/${name}`, O_RDONLY | O_NOFOLLOW);
  // the file alone is what a killed maker or a removal left
  if (!fd || isNamespace(fd)) return fd;
  fd[Symbol.dispose]();
  return undefined;
}

/**
 * Keeps a namespace for later starts; with `script`, in the mount namespace from which that process has unshared
 * this one, which goes with its container. Does nothing where it cannot. Atomic: of two at once one does it.
 */
export function keepNamespace(store: Store, name: string, namespace: Fd, script?: number): void {
  if (isConfined()) return;
  const directory = paths.namespaces(store);
  mkdirs(directory, 0o700);
  using here = openat(AT_FDCWD, directory, O_PATH | O_DIRECTORY);
  const inside = fstat(here.number);
  const keep = () => {
    using lock = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const { ino, dev } = fstat(lock.number);
    if (ino !== inside.ino || dev !== inside.dev) return;
    flock(lock.number, LOCK_EX, directory);
    if (listFd(lock.number, directory).length >= LIMIT) return;
    using before = openKept(store, name);
    if (before) return;
    openat(lock.number, name, O_RDONLY | O_CREAT | O_NOFOLLOW, 0o600)[Symbol.dispose]();
    using point = openat(lock.number, name, O_PATH | O_NOFOLLOW);
    using clone = cloneTree(namespace.number, "", false);
    attach(clone, point, `${directory}/${name}`);
  };
  try {
    using outer = script === undefined ? undefined : outerNamespace(script);
    if (outer) withMountNamespace(outer, keep);
    else if (script === undefined) keep();
  } catch (error) {
    if (!isErrno(error, "EPERM", "EACCES", "EINVAL", "ENOENT", "ENOTDIR", "ELOOP", "ENOSPC")) throw error;
  }
}

/** Whether AppArmor enforces a profile, as that of lxc-start: it would deny this mount, and log that at each start. */
function isConfined(): boolean {
  try {
    return readText("/proc/self/attr/current")?.endsWith("(enforce)\n") ?? false;
  } catch (error) {
    // there is no security module, or another one
    if (error instanceof SysError) return false;
    throw error;
  }
}

/** The mount namespace of the process's nearest ancestor that is not in this one. */
function outerNamespace(process: number): Fd | undefined {
  const own = statMaybe("/proc/self/ns/mnt")?.ino;
  for (let pid = parentOf(process); pid !== undefined; pid = parentOf(pid)) {
    const path = `/proc/${pid}/ns/mnt`;
    const ino = statMaybe(path)?.ino;
    if (ino === undefined) return undefined;
    if (ino !== own) return openat(AT_FDCWD, path, O_RDONLY);
  }
  return undefined;
}

/** Drops a kept namespace. A mount that is idmapped to it keeps its maps, and a container its namespace. Idempotent. */
export function dropNamespace(store: Store, name: string): void {
  const directory = paths.namespaces(store);
  using lock = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  flock(lock.number, LOCK_EX, directory);
  umountQuietly(`${directory}/${name}`, MNT_DETACH | UMOUNT_NOFOLLOW);
  unlinkQuietly(name, lock.number);
}
