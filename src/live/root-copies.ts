/**
 * What else shows the container's files besides its own root: copies of the root in mount namespaces inside it
 * (services with `PrivateTmp=` and the like), and parts of the root that are mounted a second time (`ProtectSystem=`,
 * `mount --bind`). They are switched after the container's own root; one that cannot be switched stays on the old
 * root and is reported.
 */

import { ifStillThere } from "../sys/errno.ts";
import { type Fd, openat2, openDirectory } from "../sys/fd.ts";
import { filePlace, openFilePlace } from "../sys/file-place.ts";
import { AT_FDCWD, MS_PRIVATE, MS_SHARED, MS_SLAVE, O_PATH, RESOLVE_EXACT, S_IFDIR } from "../sys/flags.ts";
import { attachBeneath, clonePeer, setMountAttributes } from "../sys/mount.ts";
import { type MountEntry, parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { insideMountNamespace } from "../sys/namespace.ts";
import { gone, namespaceOf } from "../sys/process/processes.ts";
import { identify, type ProcessIdentity } from "../sys/process.ts";
import { isShared } from "../sys/propagation.ts";
import { isType } from "../sys/stat.ts";
import { attributesOf, rootStack } from "./mounts.ts";
import { finishOrRevert, pivotToNewRoot, uncover } from "./pivot.ts";

/** A mount namespace whose root is a copy of the container's. */
export interface Copy {
  /** a process in it that has this root */
  readonly init: ProcessIdentity;
  readonly root: MountEntry;
  readonly bound: readonly MountEntry[];
}

/** Parts of a root that are mounted a second time in its namespace. */
export function selfBinds(mounts: readonly MountEntry[], root: MountEntry): MountEntry[] {
  return mounts.filter(({ id, device }) => id !== root.id && device === root.device);
}

/**
 * Copies of the root, or of one that it replaced (`devices`), in the namespaces of `pids`; namespaces that belong to
 * another user namespace are left out.
 */
export function findCopies(devices: ReadonlySet<string>, init: number, pids: readonly number[]): Copy[] {
  const user = namespaceOf(init, "user");
  const seen = new Set([namespaceOf(init, "mnt")]);
  const copies: Copy[] = [];
  for (const pid of pids) {
    const namespace = namespaceOf(pid, "mnt");
    if (seen.has(namespace) || namespaceOf(pid, "user") !== user) continue;
    const mounts = parseMountinfo(gone(() => readMountinfo(pid)) ?? "");
    const [bottom, ...above] = rootStack(mounts);
    const identity = identify(pid);
    const own = gone(() => filePlace(AT_FDCWD, `/proc/${pid}/root`))?.mountId;
    // a process that is chrooted does not show it; another one in the same namespace may
    if (!bottom || !identity || above.length > 0 || Number(own) !== bottom.id) continue;
    seen.add(namespace);
    if (devices.has(bottom.device) && bottom.root === "/") {
      copies.push({ init: identity, root: bottom, bound: selfBinds(mounts, bottom) });
    }
  }
  return copies;
}

/**
 * The places in the new root that correspond to the bound parts, opened while nothing covers them; by path in the
 * root.
 */
export function openSources(overlay: Fd, bound: readonly MountEntry[]): Map<string, Fd> {
  const sources = new Map<string, Fd>();
  for (const { root } of bound) {
    if (sources.has(root)) continue;
    const source = ifStillThere(() => openat2(overlay.number, root.slice(1) || ".", O_PATH, RESOLVE_EXACT));
    if (source) sources.set(root, source);
  }
  return sources;
}

/** Copies of the new root, each with the replacements of its bound parts, all detached. */
export interface Prepared extends Disposable {
  readonly bound: ReadonlyMap<number, Fd>;
  readonly copies: readonly {
    readonly copy: Copy;
    readonly root: Fd;
    readonly bound: ReadonlyMap<number, Fd>;
  }[];
}

/** To be called in the container's namespace, whose root is `overlay` by now. */
export function prepareCopies(
  overlay: Fd,
  bound: readonly MountEntry[],
  copies: readonly Copy[],
  sources: ReadonlyMap<string, Fd>,
): Prepared {
  const made: Fd[] = [];
  const clone = (source: Fd) => {
    const fd = clonePeer(source.number, "", false);
    made.push(fd);
    return fd;
  };
  const clones = (all: readonly MountEntry[]) =>
    new Map(
      all.flatMap(({ id, root }): [number, Fd][] => {
        const source = sources.get(root);
        return source ? [[id, clone(source)]] : [];
      }),
    );
  return {
    bound: clones(bound),
    copies: copies.map((copy) => ({ copy, root: clone(overlay), bound: clones(copy.bound) })),
    [Symbol.dispose]() {
      for (const fd of made) fd[Symbol.dispose]();
    },
  };
}

/** Switches the copies of the root to the new one. Returns where something stays on the old one. */
export function switchCopies({ copies }: Prepared, devices: ReadonlySet<string>, shared: boolean): string[] {
  return copies.flatMap(({ copy, root, bound }) => {
    const { pid } = copy.init;
    const propagation = shared ? MS_SLAVE : MS_PRIVATE;
    try {
      return insideMountNamespace(pid, (proc) => {
        try {
          pivotToNewRoot(root, proc, pid, devices, propagation);
        } catch {
          const { init, root: before } = copy;
          finishOrRevert({ init, root: before.id, shared: isShared(before) }, proc, before.device);
          return [`/ of process ${pid}`];
        }
        return rebindAll(copy.bound, bound, shared).map((target) => `${target} of process ${pid}`);
      });
    } catch {
      return [`/ of process ${pid}`];
    }
  });
}

/**
 * Puts the clones in the place of the bound parts, in this thread's mount namespace. Returns the targets that stay.
 */
export function rebindAll(
  bound: readonly MountEntry[],
  clones: ReadonlyMap<number, Fd>,
  shared: boolean,
): string[] {
  using top = openDirectory("/");
  return bound
    .filter((mount) => !rebind(top, mount, clones.get(mount.id), shared))
    .map(({ target }) => target);
}

function rebind(top: Fd, mount: MountEntry, clone: Fd | undefined, shared: boolean): boolean {
  if (!clone) return false;
  try {
    using seen = openat2(top.number, mount.target.slice(1), O_PATH, RESOLVE_EXACT);
    const place = openFilePlace(seen.number);
    const isDirectory = isType(place, S_IFDIR);
    if (Number(place.mountId) !== mount.id || isType(openFilePlace(clone.number), S_IFDIR) !== isDirectory)
      return false;
    const slave = shared && mount.propagation.some((field) => field.startsWith("master:"));
    const propagation = slave ? MS_SLAVE : MS_PRIVATE;
    setMountAttributes(clone, { ...attributesOf(mount.options), propagation }, mount.target);
    attachBeneath(clone, seen, mount.target);
    if (isShared(mount)) setMountAttributes(clone, { propagation: MS_SHARED }, mount.target);
    uncover(seen, mount.target);
    return true;
  } catch {
    return false;
  }
}
