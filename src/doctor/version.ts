/** What works with which version of an engine. Pure. */
import { type Finding, not, ok } from "./check.ts";

/** Finds the first dotted number in a text: `[1, 1, 5]` in "runc version 1.1.5+ds1". */
export function parseVersion(text: string): number[] | undefined {
  const match = /(?:^|[^0-9.])v?([0-9]+(?:\.[0-9]+)+)/.exec(text);
  return match?.[1]?.split(".").map(Number);
}

/** Whether a version is `least` or later. */
export function isAtLeast(version: readonly number[], least: readonly number[]): boolean {
  for (let index = 0; index < Math.max(version.length, least.length); index++) {
    const difference = (version[index] ?? 0) - (least[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

const WRAPPER = "the wrapping runtime";

/**
 * Whether this version of runc pivots into a root that it opened before it ran the hooks (prepareRootfs in
 * libcontainer/rootfs_linux.go): 1.5.0 and later, 1.4.3 and later 1.4.x, 1.3.6 and later 1.3.x.
 */
function holdsRoot(version: readonly number[]): boolean {
  const [major = 0, minor = 0] = version;
  if (major === 1 && minor === 3) return isAtLeast(version, [1, 3, 6]);
  return isAtLeast(version, [1, 4, 3]);
}

export interface HostFacts {
  /** cgroup v1 and v2 are both mounted */
  readonly hybrid: boolean;
  /** root may trace other processes (ptrace(2)) */
  readonly mayTrace: boolean;
}

/** What of veneer works with this version of an engine. */
export function engineFinding(
  name: string,
  version: readonly number[],
  { hybrid, mayTrace }: HostFacts,
): Finding {
  const text = version.join(".");
  switch (name) {
    case "runc":
      return holdsRoot(version) && !mayTrace
        ? not(
            "limited",
            `${text}: ${WRAPPER} alone`,
            "it opens the root before its hooks, and kernel.yama.ptrace_scope=3 forbids to follow it: use veneer-runc",
          )
        : ok(`${text}: hook, ${WRAPPER}`);
    case "crun":
      return hybrid
        ? not(
            "limited",
            `${text}: refuses this host's mixed control groups`,
            "boot with systemd.unified_cgroup_hierarchy=1, unmount /sys/fs/cgroup/unified for it, or use runc",
          )
        : ok(`${text}: hook, ${WRAPPER}`);
    case "lxc":
      return isAtLeast(version, [3, 0])
        ? ok(`${text}: hook (pre-mount, post-stop)`)
        : not(
            "limited",
            `${text}: hooks of version 0 alone`,
            "LXC 3.0 or later has version 1, which gives hooks more information",
          );
    case "podman":
      return isAtLeast(version, [1, 0])
        ? ok(`${text}: hooks.d, ${WRAPPER}`)
        : not("limited", text, "podman 1.0 or later reads hooks.d");
    case "docker":
      return isAtLeast(version, [24, 0])
        ? ok(`${text}: ${WRAPPER}`)
        : ok(`${text}: ${WRAPPER}; the base comes from the environment, as --annotation is not known`);
    default:
      return ok(`${text}: ${WRAPPER}`);
  }
}
