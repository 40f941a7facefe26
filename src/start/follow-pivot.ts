/**
 * Runtimes that open root.path before their hooks and pivot into what they opened (runc since 1.3.6, 1.4.3, 1.5.0) do
 * not see what a hook mounts over it. So a helper traces init with ptrace(2) until it has pivoted. Then, before init
 * uses the new root, it replaces the root with the overlay that covers it.
 *
 * The relevant system calls of init after its hooks (runc, libcontainer/rootfs_linux.go: prepareRootfs):
 *   fchdir(root), pivot_root(".", "."), fchdir(old root), mount MS_SLAVE, umount2 MNT_DETACH, chdir("/")
 *   fchdir(root), mount(root.path, "/", MS_MOVE), chroot("."), chdir("/")                          with --no-pivot
 * The system calls only tell when to check. The kernel tells where init is (the mount ids of its root and working
 * directory), and finally that its root is the overlay. In every other case init is killed: PTRACE_O_EXITKILL does so
 * even when the helper is killed, or when init executes a program before its pivot.
 */

import { VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { MNT_DETACH, MS_PRIVATE } from "../sys/flags.ts";
import { attach, setMountAttributes, umount2 } from "../sys/mount.ts";
import { changeRoot, fchdir, pivotRoot } from "../sys/namespace.ts";
import { SYS } from "../sys/numbers.ts";
import { seize, type Tracee } from "../sys/process/ptrace.ts";
import { fstat, type Stat, statMaybe } from "../sys/stat.ts";
import { USE_WRAPPER } from "./runtime-root-fd.ts";

/** A container whose root is covered. This process is in its mount namespace. */
export interface CoveredRoot {
  readonly pid: number;
  /** the host's /proc/PID */
  readonly process: Fd;
  /** the overlay, mounted over `root` */
  readonly overlay: Fd;
  /** the root that the runtime holds open */
  readonly root: Fd;
  /** the root of the mount namespace before the pivot */
  readonly top: Fd;
}

/**
 * Traces init in this process and returns when its root is the overlay and it runs untraced. Calls `ready` once init is
 * traced: from then on it cannot start on another root. When this throws, the caller must end this process, which also
 * kills init.
 */
export function followPivot(container: CoveredRoot, ready: () => void): void {
  const tracee = seizeInit(container);
  ready();
  const wanted = fstat(container.root.number);
  let jailed = false;
  for (;;) {
    const step = tracee.next();
    // init failed, or the runtime killed it
    if (step.kind === "ended") return;
    if (step.kind === "executed") throw missed(container.pid, "executed a program before it pivoted");
    if (step.result !== 0n) continue;
    jailed ||= step.call === SYS.pivot_root || step.call === SYS.chroot;
    const moved = step.call === SYS.chdir || step.call === SYS.fchdir;
    if (jailed && moved && isAt(container, "root", wanted) && isAt(container, "cwd", wanted)) break;
  }
  switchRoot(container, wanted);
  const overlay = fstat(container.overlay.number);
  for (const place of ["root", "cwd"]) {
    if (!isAt(container, place, overlay))
      throw missed(container.pid, `has another ${place} instead of the overlay`);
  }
  tracee.detach();
}

function seizeInit({ pid, process }: CoveredRoot): Tracee {
  const tracee = seizeOrSay(pid);
  // make sure it is the process whose namespaces we entered, not another one with its pid
  if (statMaybe("root", process.number)) return tracee;
  throw new VeneerError("GONE", `the container's process ${pid} is gone`);
}

function seizeOrSay(pid: number): Tracee {
  try {
    return seize(pid);
  } catch (cause) {
    if (!isErrno(cause, "EPERM", "EACCES", "ENOSYS", "EIO")) throw cause;
    const what = `the runtime opened the root before its hooks, and its process ${pid} cannot be traced to its pivot`;
    throw new VeneerError("HELD_ROOT", what, { cause, hint: USE_WRAPPER });
  }
}

function isAt({ process }: CoveredRoot, place: string, wanted: Stat): boolean {
  const found = statMaybe(place, process.number);
  return found?.mountId === wanted.mountId && found.ino === wanted.ino;
}

/** Works for init because pivot_root(2) moves every process whose root or working directory is the current root. */
function switchRoot({ overlay, root, top }: CoveredRoot, wanted: Stat): void {
  using own = openDirectory("/");
  if (fstat(own.number).mountId !== wanted.mountId) {
    // --no-pivot: init moved the mount at root.path, which is the overlay, to / and its root is the mount below
    setMountAttributes(top, { propagation: MS_PRIVATE }, "/");
    attach(overlay, root, "the root");
    attach(root, top, "/");
    fchdir(root.number, "the root");
    changeRoot(".");
  }
  fchdir(overlay.number, "the overlay");
  pivotRoot(".", ".");
  umount2(".", MNT_DETACH);
}

function missed(pid: number, what: string): VeneerError {
  return new VeneerError("MISSED_PIVOT", `the container's process ${pid} ${what}`, { hint: USE_WRAPPER });
}
