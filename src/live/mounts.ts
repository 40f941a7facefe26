/** How the mounts of a running container move from one root to another. Pure: mountinfo in, data out. */
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
} from "../sys/flags.ts";
import type { MountEntry } from "../sys/mountinfo.ts";
import { isShared } from "../sys/propagation.ts";

/** The mounts at one mount point of the root; what is mounted below them moves with them. */
export interface Place {
  /** relative to the root */
  readonly path: string;
  /** ids, the lowest first, the visible one last */
  readonly stack: readonly number[];
}

/** The mount points directly on the mount `root`. One that hides others comes before them. */
export function mountPointsOn(mounts: readonly MountEntry[], root: number): Place[] {
  const direct = mounts.filter(({ parent, id, target }) => parent === root && id !== root && target !== "/");
  const above = mountsAbove(mounts);
  return direct
    .map(({ id, target }) => ({
      path: target.slice(1),
      stack: stackOn(above, id, target),
      at: depth(target),
    }))
    .sort((a, b) => a.at - b.at)
    .map(({ path, stack }) => ({ path, stack }));
}

/** The first mount at each mount point, by parent and target: with it a stack of any height is walked once. */
function mountsAbove(mounts: readonly MountEntry[]): ReadonlyMap<string, number> {
  const above = new Map<string, number>();
  for (const { id, parent, target } of mounts) {
    const key = `${parent} ${target}`;
    if (id !== parent && !above.has(key)) above.set(key, id);
  }
  return above;
}

function depth(path: string): number {
  return path.split("/").length;
}

function stackOn(above: ReadonlyMap<string, number>, bottom: number, target: string): number[] {
  const stack = [bottom];
  for (;;) {
    const next = above.get(`${stack.at(-1)} ${target}`);
    if (next === undefined) return stack;
    stack.push(next);
  }
}

/** The mounts at `/`, the lowest first. */
export function rootStack(mounts: readonly MountEntry[]): MountEntry[] {
  const all = mounts.filter(({ target }) => target === "/");
  const ids = new Set(all.map(({ id }) => id));
  const above = new Map<number, MountEntry>();
  for (const mount of all)
    if (mount.id !== mount.parent && !above.has(mount.parent)) above.set(mount.parent, mount);
  const stack = all.filter(({ parent, id }) => !ids.has(parent) || parent === id).slice(0, 1);
  for (;;) {
    const next = above.get(stack.at(-1)?.id ?? -1);
    if (!next) return stack;
    stack.push(next);
  }
}

const FLAGS: Readonly<Record<string, number>> = {
  ro: MOUNT_ATTR_RDONLY,
  nosuid: MOUNT_ATTR_NOSUID,
  nodev: MOUNT_ATTR_NODEV,
  noexec: MOUNT_ATTR_NOEXEC,
  noatime: MOUNT_ATTR_NOATIME,
  nodiratime: MOUNT_ATTR_NODIRATIME,
  nosymfollow: MOUNT_ATTR_NOSYMFOLLOW,
};

/** MOUNT_ATTR_ flags, for mount_setattr(2), of a mount with these options of mountinfo. */
export function attributesOf(options: string): { readonly set: number; readonly clear: number } {
  const words = options.split(",");
  let set = 0;
  for (const word of words) set |= FLAGS[word] ?? 0;
  // mountinfo has no word for strictatime
  if (!words.includes("noatime") && !words.includes("relatime")) set |= MOUNT_ATTR_STRICTATIME;
  return { set, clear: MOUNT_ATTR__ATIME };
}

/**
 * The differences between the mounts before a switch and after it, apart from the root's own id and file system: one
 * line for each mount that is missing, new or changed; empty where nothing else changed.
 */
export function differences(
  before: readonly MountEntry[],
  oldRoot: number,
  after: readonly MountEntry[],
  newRoot: number,
): string[] {
  const left = new Set(before.map((entry) => line(entry, oldRoot)));
  const extra: string[] = [];
  for (const entry of after) {
    const text = line(entry, newRoot);
    if (!left.delete(text)) extra.push(`new: ${text}`);
  }
  return [...[...left].map((text) => `missing: ${text}`), ...extra];
}

function line(entry: MountEntry, root: number): string {
  const { id, parent, device, root: top, target, options, propagation, type, source, superOptions } = entry;
  // a root that is shared leaves its peers; one that was a slave has no master any more
  if (id === root) return `/ ${options} ${isShared(entry) ? "shared" : "private"} ${type} ${source}`;
  const above = parent === root ? "root" : parent;
  return [id, above, device, top, target, options, ...propagation, type, source, superOptions].join(" ");
}
