/**
 * User namespaces, kept by bind mounts of their files in RUN/userns, one for each pair of maps. This saves the next
 * start with the same maps a process. It is only a cache, so any of them may be dropped at any time.
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

/** Most namespaces that are kept, because engines may give each container its own maps (podman's --userns=auto). */
const LIMIT = 32;

/** Opens a kept namespace; undefined where there is none. */
export function openKept(store: Store, name: string): Fd | undefined {
  const fd = openatMaybe(AT_FDCWD, `${paths.namespaces(store)}/${name}`, O_RDONLY | O_NOFOLLOW);
  // a plain file is left over from a kill or a removal
  if (!fd || isNamespace(fd)) return fd;
  fd[Symbol.dispose]();
  return undefined;
}

/**
 * Keeps a namespace for later starts. `script` is the process that has unshared this mount namespace, if that
 * disappears with its container: then the mount namespace that the process came from keeps it. Does nothing where it
 * cannot. Atomic: of two simultaneous calls, one keeps its namespace.
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

/** Whether AppArmor confines this process: a profile like lxc-start's denies this mount, and logs it at each start. */
function isConfined(): boolean {
  try {
    return readText("/proc/self/attr/current")?.endsWith("(enforce)\n") ?? false;
  } catch (error) {
    // no security module, or another one
    if (error instanceof SysError) return false;
    throw error;
  }
}

/** The mount namespace of the process's nearest ancestor outside of this mount namespace. */
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

/** Drops a kept namespace; idmapped mounts and containers that use it are not affected. Idempotent. */
export function dropNamespace(store: Store, name: string): void {
  const directory = paths.namespaces(store);
  using lock = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  flock(lock.number, LOCK_EX, directory);
  umountQuietly(`${directory}/${name}`, MNT_DETACH | UMOUNT_NOFOLLOW);
  unlinkQuietly(name, lock.number);
}
