/**
 * Switches the root of a running container, in its mount namespace: the new root is mounted over the old one, the
 * mounts are moved to it, and pivot_root(2) makes it the root and the working directory of every process that had the
 * old one as such. Until then nothing that a process of the container sees has moved for good.
 */
import { VeneerError } from "../errors.ts";
import { type Fd, openDirectory, readText } from "../sys/fd.ts";
import { openFilePlace } from "../sys/file-place.ts";
import { MNT_DETACH, MS_PRIVATE, MS_SHARED, S_IFDIR, UMOUNT_NOFOLLOW } from "../sys/flags.ts";
import { attach, setMountAttributes, umount2 } from "../sys/mount.ts";
import { type MountEntry, parseMountinfo } from "../sys/mountinfo.ts";
import { fchdir, pivotRoot } from "../sys/namespace.ts";
import { isShared } from "../sys/propagation.ts";
import { isType } from "../sys/stat.ts";
import type { RebaseIntent } from "./journal.ts";
import { attributesOf, differences, mountPointsOn, type Place, rootStack } from "./mounts.ts";
import { moveMounts, openExact, openTargets, type Targets } from "./move-mounts.ts";

const MOUNTINFO_LIMIT = 64 * 1024 * 1024;

/** The mounts that a process of the namespace sees; `proc` is the host's /proc. */
function mountsSeenBy(pid: number, proc: Fd): MountEntry[] {
  return parseMountinfo(readText(`${pid}/mountinfo`, proc.number, MOUNTINFO_LIMIT) ?? "");
}

export interface RootSwitch {
  readonly oldRoot: MountEntry;
  readonly newRoot: number;
}

/**
 * Makes `overlay`, a detached mount, the root of this thread's mount namespace. `init` has that namespace's root, an
 * overlay of one of the `devices`, as its own. The caller has stopped all processes. `propagation`: MS_PRIVATE or
 * MS_SLAVE. On return nothing but the root has changed. `pace` may throw before the pivot. On failure everything is
 * reverted, and the error says what could not be.
 */
export function pivotToNewRoot(
  overlay: Fd,
  proc: Fd,
  init: number,
  devices: ReadonlySet<string>,
  propagation = MS_PRIVATE,
  pace: () => void = () => {},
): RootSwitch {
  const before = mountsSeenBy(init, proc);
  const root = requireRoot(before, devices);
  using old = openDirectory("/");
  if (Number(openFilePlace(old.number).mountId) !== root.id) throw hasOtherRoot();
  const places = mountPointsOn(before, root.id);
  const targets = openTargets(places, old, overlay);
  try {
    setMountAttributes(overlay, { ...attributesOf(root.options), propagation }, "the new root");
    // a mount cannot be moved off a shared one, and the new root must not appear in other namespaces
    if (isShared(root)) setMountAttributes(old, { propagation: MS_PRIVATE }, "the root");
    attach(overlay, old, "/");
    const newRoot = Number(openFilePlace(overlay.number).mountId);
    try {
      moveMounts(places, old, targets, pace);
      pace();
      pivot(overlay);
      try {
        if (isShared(root)) setMountAttributes(overlay, { propagation: MS_SHARED }, "the new root");
        check(
          differences(
            before,
            root.id,
            mountsSeenBy(init, proc).filter(({ id }) => id !== root.id),
            newRoot,
          ),
        );
        detach(old);
      } catch (error) {
        pivot(old);
        throw error;
      }
    } catch (error) {
      // the way back opens as many again
      close(targets);
      revertMounts(places, overlay, old, isShared(root));
      throw error;
    }
    return { oldRoot: root, newRoot };
  } finally {
    close(targets);
  }
}

/** The root, where it is an overlay of one of the `devices` with nothing mounted over it. */
export function requireRoot(mounts: readonly MountEntry[], devices: ReadonlySet<string>): MountEntry {
  const stack = rootStack(mounts);
  const [root] = stack;
  if (root && stack.length === 1 && root.type === "overlay" && devices.has(root.device)) return root;
  const what =
    stack.length > 1
      ? "another mount covers the container's root"
      : "the container's root is no overlay of veneer's";
  throw new VeneerError("NO_ROOT", what, {
    hint: "'findmnt' in the container shows it; stop the container to rebase it",
  });
}

function hasOtherRoot(): VeneerError {
  return new VeneerError("NO_ROOT", "the first process does not have the root of its mount namespace", {
    hint: "stop the container to rebase it",
  });
}

/** pivot_root(2), "pivot_root(".", ".")": `root` ends up below everything that it was mounted on. */
function pivot(root: Fd): void {
  fchdir(root.number, "/");
  pivotRoot(".", ".");
}

/** Unmounts what is visible at the root of a mount: after {@link pivot} that is the former root. */
function detach(top: Fd): void {
  fchdir(top.number, "/");
  umount2(".", MNT_DETACH);
}

/** Undoes what comes before the pivot. */
function revertMounts(places: readonly Place[], overlay: Fd, old: Fd, shared: boolean): void {
  const targets = openTargets(places, overlay, old);
  try {
    moveMounts(places, overlay, targets);
  } finally {
    close(targets);
  }
  detach(overlay);
  if (shared) setMountAttributes(old, { propagation: MS_SHARED }, "the root");
}

function close(targets: Targets): void {
  for (const target of targets.values()) target[Symbol.dispose]();
}

function check(different: readonly string[]): void {
  if (different.length === 0) return;
  throw new VeneerError(
    "MOUNTS_DIFFER",
    `the container's mounts would change: ${different.slice(0, 3).join("; ")}`,
    {
      hint: "the container runs on its old root; please report this with the output of 'cat /proc/PID/mountinfo'",
    },
  );
}

/**
 * Finishes or reverts a {@link pivotToNewRoot} that was killed, in this thread's mount namespace: before the pivot
 * everything is reverted; after it, what is left of the old root, of `oldDevice`, is unmounted. Returns which root
 * the container has. Idempotent.
 */
export function finishOrRevert(
  { init, root: oldRoot, shared }: Pick<RebaseIntent, "init" | "root" | "shared">,
  proc: Fd,
  oldDevice: string | undefined,
): "old" | "new" {
  const mounts = mountsSeenBy(init.pid, proc);
  const [bottom, top] = rootStack(mounts);
  using seen = openDirectory("/");
  if (bottom?.id !== oldRoot) {
    if (top?.id === oldRoot) detach(seen);
    if (shared && bottom && !isShared(bottom)) share(openDirectory("/"));
    for (const part of halfExchanged(mounts, oldDevice, bottom?.device)) uncoverAt(part);
    return "new";
  }
  using old = openDirectory(`${init.pid}/root`, proc.number);
  if (top) revertMounts(mountPointsOn(mounts, top.id), seen, old, false);
  if (shared && !isShared(bottom)) share(old);
  return "old";
}

function share(root: Fd): void {
  setMountAttributes(root, { propagation: MS_SHARED }, "the root");
}

/** Parts of an old root that lie on their replacements (root-copies.ts): the last step is missing. */
function halfExchanged(
  mounts: readonly MountEntry[],
  oldDevice: string | undefined,
  newDevice: string | undefined,
): MountEntry[] {
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  return mounts.filter((mount) => {
    if (mount.device !== oldDevice) return false;
    const below = byId.get(mount.parent);
    return below?.target === mount.target && below.device === newDevice;
  });
}

function uncoverAt({ id, target }: MountEntry): void {
  using top = openDirectory("/");
  using seen = openExact(top, target.slice(1));
  if (seen && Number(openFilePlace(seen.number).mountId) === id) uncover(seen, target);
}

/** Unmounts what is visible at `target`, whose root `seen` has open; what lies below becomes visible. */
export function uncover(seen: Fd, target: string): void {
  if (isType(openFilePlace(seen.number), S_IFDIR)) {
    fchdir(seen.number, target);
    umount2(".", MNT_DETACH);
  } else umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
}
