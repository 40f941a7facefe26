/** setns(2), unshare(2), pivot_root(2). */
import { VeneerError } from "../errors.ts";
import { quote } from "../text/quote.ts";
import { type Fd, openat, openatMaybe, openDirectory } from "./fd.ts";
import {
  AT_FDCWD,
  CLONE_FS,
  CLONE_NEWNS,
  MS_REC,
  MS_SLAVE,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
} from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { mount } from "./mount.ts";
import { parseMountinfo, readMountinfo } from "./mountinfo.ts";
import { SYS } from "./numbers.ts";
import { isShared } from "./propagation.ts";
import { sleep, warn } from "./self.ts";

/**
 * Moves this thread into the mount namespace of a process. Its root and working directory become those of the
 * namespace. Unshares CLONE_FS first, because setns(2) fails when other threads share the root and working directory.
 */
export function enterMountNamespace(pid: number): void {
  const path = `/proc/${pid}/ns/mnt`;
  using namespace = openat(AT_FDCWD, path, O_RDONLY);
  check(syscall(SYS.unshare, CLONE_FS), "unshare", "CLONE_FS");
  check(syscall(SYS.setns, namespace.number, CLONE_NEWNS), "setns", path);
}

/** Runs `action`, which must be synchronous, in another mount namespace. Then restores root and working directory. */
export function withMountNamespace<T>(namespace: Fd, action: () => T): T {
  return andBack(() => {
    check(syscall(SYS.setns, namespace.number, CLONE_NEWNS), "setns", "mount namespace");
    return action();
  });
}

/**
 * Like {@link withMountNamespace}, but in a temporary copy of this mount namespace, which disappears with all mounts in
 * it. Nothing that is mounted in it propagates: throws PROPAGATION and does not call `action` when a mount in it is
 * still shared. What `action` attaches must itself be private, as {@link cloneTree} makes it.
 *
 * The mounts become slaves, not private: neither kind propagates outwards, and AppArmor's profile for lxc-start allows
 * only this one.
 */
export function inScratchNamespace<T>(action: () => T): T {
  return andBack(() => {
    check(syscall(SYS.unshare, CLONE_NEWNS), "unshare", "CLONE_NEWNS");
    mount(null, "/", null, MS_REC | MS_SLAVE);
    refuseShared();
    return action();
  });
}

function refuseShared(): void {
  const mounts = parseMountinfo(readMountinfo("thread-self") ?? "");
  const shared = mounts.find(isShared);
  if (mounts.length > 0 && !shared) return;
  const what = shared
    ? `the mount on ${quote(shared.target)} stays shared`
    : "/proc/thread-self/mountinfo is empty";
  throw new VeneerError(
    "PROPAGATION",
    `cannot make a mount namespace that is cut off from the host: ${what}`,
    {
      hint: "nothing was mounted, since it would appear on the host; a newer kernel (Linux 6.15) needs none",
    },
  );
}

/**
 * Where to attach temporary mounts in a scratch namespace: a directory on which AppArmor's profile for lxc-start lets
 * hooks mount ("pre-mount hooks stage mounts", abstractions/lxc/start-container), or else the root.
 */
export function openScratchPlace(): Fd {
  return openatMaybe(AT_FDCWD, "/var/lib/lxc", O_PATH | O_DIRECTORY | O_NOFOLLOW) ?? openDirectory("/");
}

function andBack<T>(action: () => T): T {
  using own = openat(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY);
  using root = openDirectory("/");
  using cwd = openDirectory(".");
  check(syscall(SYS.unshare, CLONE_FS), "unshare", "CLONE_FS");
  try {
    return action();
  } finally {
    comeBack(() => setnsAlone(own.number));
    comeBack(() => syscall(SYS.fchdir, root.number));
    comeBack(() => syscall(SYS.chroot, cstring(".")));
    comeBack(() => syscall(SYS.fchdir, cwd.number));
  }
}

/**
 * setns(2) after unsharing CLONE_FS. The JavaScript engine may have created a thread in the meantime that shares root
 * and working directory with this one, and setns(2) would fail with EINVAL.
 */
function setnsAlone(namespace: number): number {
  const unshared = syscall(SYS.unshare, CLONE_FS);
  return unshared < 0 ? unshared : syscall(SYS.setns, namespace, CLONE_NEWNS);
}

/** Ends the process when it cannot return: every path that it uses would be looked up in the wrong place. */
function comeBack(call: () => number): void {
  for (let count = 0; count < 100; count++) {
    if (call() >= 0) return;
    sleep(10);
  }
  warn("veneer: cannot leave the container's mount namespace");
  syscall(SYS.exit_group, 1);
}

/** Runs `action`, which must be synchronous, with another working directory. */
export function inDirectory<T>(directory: Fd, action: () => T): T {
  using before = openDirectory(".");
  fchdir(directory.number, "a directory of our own");
  try {
    return action();
  } finally {
    fchdir(before.number, "the working directory");
  }
}

/** A mount namespace and a root directory in it, both open. */
export interface Place extends Disposable {
  readonly namespace: Fd;
  readonly root: Fd;
}

/** The mount namespace and root of this process, to return to with {@link returnTo}. */
export function ownPlace(): Place {
  const namespace = openat(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY);
  const root = openDirectory("/");
  return {
    namespace,
    root,
    [Symbol.dispose]() {
      namespace[Symbol.dispose]();
      root[Symbol.dispose]();
    },
  };
}

/** Moves this process to a place; its working directory becomes the root. It must not share its root (CLONE_FS). */
export function returnTo({ namespace, root }: Place): void {
  check(syscall(SYS.setns, namespace.number, CLONE_NEWNS), "setns", "mount namespace");
  fchdir(root.number, "/");
  changeRoot(".");
}

/** chroot(2), which leaves the working directory as it is. */
export function changeRoot(path: string): void {
  check(syscall(SYS.chroot, cstring(path)), "chroot", path);
}

export function fchdir(fd: number, name: string): void {
  check(syscall(SYS.fchdir, fd), "fchdir", name);
}

export function chdir(path: string): void {
  check(syscall(SYS.chdir, cstring(path)), "chdir", path);
}

/** pivot_root(2) in the caller's mount namespace. */
export function pivotRoot(newRoot: string, putOld: string): void {
  check(syscall(SYS.pivot_root, cstring(newRoot), cstring(putOld)), "pivot_root", newRoot);
}

/**
 * Runs `action`, which must be synchronous, in the mount namespace of a process. Restores the namespace, root and
 * working directory afterwards, also when it throws. `action` gets the host's /proc, since the path leads elsewhere in
 * that namespace.
 */
export function insideMountNamespace<T>(pid: number, action: (proc: Fd) => T): T {
  using proc = openDirectory("/proc");
  return andBack(() => {
    enterMountNamespace(pid);
    return action(proc);
  });
}
