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
 * Moves this thread into the mount namespace of a process. The root and working directory become that
 * namespace's. CLONE_FS is unshared first: setns(2) refuses to change a file system context that is shared.
 */
export function enterMountNamespace(pid: number): void {
  const path = `/proc/${pid}/ns/mnt`;
  using namespace = openat(AT_FDCWD, path, O_RDONLY);
  check(syscall(SYS.unshare, CLONE_FS), "unshare", "CLONE_FS");
  check(syscall(SYS.setns, namespace.number, CLONE_NEWNS), "setns", path);
}

/** Runs `action` in another mount namespace; root and working directory are those of before when it returns. */
export function withMountNamespace<T>(namespace: Fd, action: () => T): T {
  return andBack(() => {
    check(syscall(SYS.setns, namespace.number, CLONE_NEWNS), "setns", "mount namespace");
    return action();
  });
}

/**
 * Like {@link withMountNamespace}, in a copy of this one, which goes with what is mounted in it. Nothing that is
 * mounted in it appears outside: where a mount would be shared, `action` is not called. What `action` attaches must
 * be private itself, as {@link cloneTree} makes it.
 *
 * Slaves, not private mounts: nothing leaves either, and AppArmor's profile of lxc-start allows this alone.
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
 * Where mounts are attached for a while in a scratch namespace: a directory on which AppArmor's profile of lxc-start
 * lets hooks mount ("pre-mount hooks stage mounts", abstractions/lxc/start-container), else the root.
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
 * A thread that the JavaScript engine has made meanwhile shares root and working directory with this one
 * (CLONE_FS), and setns(2) would fail with EINVAL.
 */
function setnsAlone(namespace: number): number {
  const unshared = syscall(SYS.unshare, CLONE_FS);
  return unshared < 0 ? unshared : syscall(SYS.setns, namespace, CLONE_NEWNS);
}

/** A process that cannot come back ends at once: every path that it used from now on would be another one's. */
function comeBack(call: () => number): void {
  for (let count = 0; count < 100; count++) {
    if (call() >= 0) return;
    sleep(10);
  }
  warn("veneer: cannot leave the container's mount namespace");
  syscall(SYS.exit_group, 1);
}

/** Runs `action` with another working directory. It must be synchronous. */
export function inDirectory<T>(directory: Fd, action: () => T): T {
  using before = openDirectory(".");
  fchdir(directory.number, "a directory of our own");
  try {
    return action();
  } finally {
    fchdir(before.number, "the working directory");
  }
}

/** A mount namespace and a root in it. */
export interface Place extends Disposable {
  readonly namespace: Fd;
  readonly root: Fd;
}

/** Where this process is, to come back to with {@link returnTo}. */
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

/** Moves this process, which shares its root with no other, to a place; its working directory becomes the root. */
export function returnTo({ namespace, root }: Place): void {
  check(syscall(SYS.setns, namespace.number, CLONE_NEWNS), "setns", "mount namespace");
  fchdir(root.number, "/");
  changeRoot(".");
}

/** chroot(2): the working directory stays. */
export function changeRoot(path: string): void {
  check(syscall(SYS.chroot, cstring(path)), "chroot", path);
}

export function fchdir(fd: number, name: string): void {
  check(syscall(SYS.fchdir, fd), "fchdir", name);
}

export function chdir(path: string): void {
  check(syscall(SYS.chdir, cstring(path)), "chdir", path);
}

/** pivot_root(2) of the caller's mount namespace. */
export function pivotRoot(newRoot: string, putOld: string): void {
  check(syscall(SYS.pivot_root, cstring(newRoot), cstring(putOld)), "pivot_root", newRoot);
}

/**
 * Runs `action` in the mount namespace of a process and comes back, also when it throws: to the namespace, the
 * root and the working directory from before. `action` gets the host's /proc: paths lead elsewhere meanwhile.
 * It must be synchronous.
 */
export function insideMountNamespace<T>(pid: number, action: (proc: Fd) => T): T {
  using proc = openDirectory("/proc");
  return andBack(() => {
    enterMountNamespace(pid);
    return action(proc);
  });
}
