/** How control groups are mounted on this host (cgroups(7)). */
import type { MountEntry } from "./mountinfo.ts";

/** `hybrid`: the controllers are in version 1 hierarchies, and there is a version 2 hierarchy without controllers. */
export type CgroupLayout = "v2" | "v1" | "hybrid" | "none";

/** Which layout is mounted below /sys/fs/cgroup. */
export function cgroupLayout(mounts: readonly MountEntry[]): CgroupLayout {
  const below = mounts.filter(({ target }) => `${target}/`.startsWith("/sys/fs/cgroup/"));
  const v1 = below.some(({ type }) => type === "cgroup");
  if (!v1) return below.some(({ type }) => type === "cgroup2") ? "v2" : "none";
  return below.some(({ type }) => type === "cgroup2") ? "hybrid" : "v1";
}

/** A control group that can be frozen, through freezer.state (version 1) or cgroup.freeze (version 2). */
export interface Freezer {
  readonly kind: "v1" | "v2";
  /** its directory on the host */
  readonly path: string;
}

/**
 * The freezers of a process's groups, version 1 first. `text` is the contents of /proc/PID/cgroup. Leaves out the root
 * group, which cannot be frozen, and groups outside of the mounted hierarchies, which cannot be reached.
 */
export function freezersOf(text: string, mounts: readonly MountEntry[]): Freezer[] {
  const freezers: Freezer[] = [];
  for (const line of text.split("\n")) {
    const [, controllers, group] = /^[0-9]+:([^:]*):(\/.*)$/.exec(line) ?? [];
    // `/..` means outside of this process's cgroup namespace
    if (controllers === undefined || group === undefined || group.startsWith("/..")) continue;
    const kind = controllers === "" ? "v2" : controllers.split(",").includes("freezer") ? "v1" : undefined;
    const mount = mounts.find(({ type, superOptions, root }) => {
      const matches =
        kind === "v2" ? type === "cgroup2" : type === "cgroup" && superOptions.split(",").includes("freezer");
      return kind !== undefined && matches && `${group}/`.startsWith(root === "/" ? "/" : `${root}/`);
    });
    if (!kind || !mount) continue;
    const below = mount.root === "/" ? group : group.slice(mount.root.length);
    if (below !== "" && below !== "/") freezers.push({ kind, path: `${mount.target}${below}` });
  }
  return freezers.sort((a, b) => (a.kind < b.kind ? -1 : 1));
}
