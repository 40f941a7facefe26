/** How control groups are mounted on this host (cgroups(7)). */
import type { MountEntry } from "../sys/mountinfo.ts";

/** `hybrid`: version 1 hierarchies with controllers, and a version 2 hierarchy without any */
export type CgroupLayout = "v2" | "v1" | "hybrid" | "none";

/** The layout below /sys/fs/cgroup. */
export function cgroupLayout(mounts: readonly MountEntry[]): CgroupLayout {
  const below = mounts.filter(({ target }) => `${target}/`.startsWith("/sys/fs/cgroup/"));
  const v1 = below.some(({ type }) => type === "cgroup");
  if (!v1) return below.some(({ type }) => type === "cgroup2") ? "v2" : "none";
  return below.some(({ type }) => type === "cgroup2") ? "hybrid" : "v1";
}
