/** How control groups are mounted on this host (cgroups(7)). */
import type { MountEntry } from "./mountinfo.ts";

/** `hybrid`: version 1 hierarchies with controllers, and a version 2 hierarchy without any */
export type CgroupLayout = "v2" | "v1" | "hybrid" | "none";

/** The layout below /sys/fs/cgroup. */
export function cgroupLayout(mounts: readonly MountEntry[]): CgroupLayout {
  const below = mounts.filter(({ target }) => `${target}/`.startsWith("/sys/fs/cgroup/"));
  const v1 = below.some(({ type }) => type === "cgroup");
  if (!v1) return below.some(({ type }) => type === "cgroup2") ? "v2" : "none";
  return below.some(({ type }) => type === "cgroup2") ? "hybrid" : "v1";
}

/** A control group that can be frozen: version 1 by freezer.state, version 2 by cgroup.freeze. */
export interface Freezer {
  readonly kind: "v1" | "v2";
  /** its directory on the host */
  readonly path: string;
}

/**
 * The freezers of the groups that a process is in, from /proc/PID/cgroup, the version 1 hierarchy first. The
 * root group cannot be frozen, and what lies outside of what is mounted cannot be reached.
 */
export function freezersOf(text: string, mounts: readonly MountEntry[]): Freezer[] {
  const freezers: Freezer[] = [];
  for (const line of text.split("\n")) {
    const [, controllers, group] = /^[0-9]+:([^:]*):(\/.*)$/.exec(line) ?? [];
    // `/..`: outside of this process's cgroup namespace
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
