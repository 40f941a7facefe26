/**
 * Runtimes that open root.path before their hooks and pivot into what they opened (runc from 1.3.6, 1.4.3, 1.5.0 on)
 * do not see what a hook mounts over it. So a helper follows init, by ptrace(2), to the end of its pivot, and there
 * exchanges the root for the overlay that covers it, before init does anything with it.
 *
 * What init does after its hooks, as far as it matters (runc, libcontainer/rootfs_linux.go: prepareRootfs):
 *   fchdir(root), pivot_root(".", "."), fchdir(old root), mount MS_SLAVE, umount2 MNT_DETACH, chdir("/")
 *   fchdir(root), mount(root.path, "/", MS_MOVE), chroot("."), chdir("/")                          with --no-pivot
 * The calls say when to look; where init stands is read from the kernel (mount ids of its root and working directory),
 * and so is that it stands in the overlay in the end. Everything else ends init: PTRACE_O_EXITKILL, so also a helper
 * that is killed, and init that executes a program before.
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

/** A container whose root is covered, seen from its mount namespace, in which this process is. */
export interface CoveredRoot {
  readonly pid: number;
  /** /proc/PID of the host */
  readonly process: Fd;
  /** mounted over `root` */
  readonly overlay: Fd;
  /** what the runtime holds open */
  readonly root: Fd;
  /** the namespace's own root before the pivot */
  readonly top: Fd;
}

/**
 * Follows init from now on, in this process, and returns when it stands in the overlay and goes on by itself. `ready` is
 * called when it is in our hands: from then on it cannot start on another root. Throws otherwise; the caller must then end
 * this process, and init ends with it.
 */
export function followPivot(container: CoveredRoot, ready: () => void): void {
  const tracee = seizeInit(container);
  ready();
  const wanted = fstat(container.root.number);
  let jailed = false;
  for (;;) {
    const step = tracee.next();
    // it failed, or the runtime ended it
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
  // the process whose namespaces were entered, and not another one that has its pid now
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

/** pivot_root(2) moves every process whose root or working directory is this process's root: init with it. */
function switchRoot({ overlay, root, top }: CoveredRoot, wanted: Stat): void {
  using own = openDirectory("/");
  if (fstat(own.number).mountId !== wanted.mountId) {
    // --no-pivot: what covered root.path was moved to the top of the old root, and init is in what it covered
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
