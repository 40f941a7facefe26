/** What the kernel can do. Features are tried instead of derived from the version, since distributions backport. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { requireProgram } from "../process/find-program.ts";
import { PROGRAM_ENVIRONMENT } from "../process/run-program.ts";
import { cgroupLayout } from "../sys/cgroup.ts";
import type { Fd } from "../sys/fd.ts";
import { fsopen } from "../sys/mount.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { geteuid } from "../sys/process.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { makeNamespace } from "../userns/create.ts";
import { type Check, check, type Finding, not, ok } from "./check.ts";
import { type FeatureName, KERNEL_FEATURES, type KernelFeature, OLDEST_TESTED } from "./kernel-features.ts";
import { tryFeatures, type Verdict } from "./kernel-trials.ts";
import { isAtLeast, parseVersion } from "./version.ts";

export function kernelChecks(): Check[] {
  const root = geteuid() === 0;
  const inside = inUserNamespace();
  return [
    ...(inside
      ? []
      : [
          check("system", "root", true, () =>
            root ? ok("runs as root") : not("missing", `runs as uid ${geteuid()}`, "run as root"),
          ),
        ]),
    check("kernel", "version", false, version),
    check("kernel", "overlayfs", true, () => (root ? overlay() : untried())),
    ...features(root, inside),
    ...(inside ? [] : [check("kernel", "user namespaces", false, userNamespaces)]),
    check("kernel", "control groups", false, controlGroups),
  ];
}

const untried = () => not("unknown", "needs root to try", "run veneer doctor as root");

function version(): Finding {
  const text = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
  const least = parseVersion(OLDEST_TESTED) ?? [];
  return isAtLeast(parseVersion(text) ?? [], least)
    ? ok(`Linux ${text}`)
    : not(
        "limited",
        `Linux ${text}`,
        `Linux ${OLDEST_TESTED} is the oldest that the tests run on; the lines below show what this one can do`,
      );
}

function overlay(): Finding {
  fsopen("overlay")[Symbol.dispose]();
  return ok("there");
}

/**
 * The kernel's features. In a user namespace idmapped mounts are left out: only root of the machine may create them.
 */
function features(root: boolean, inside: boolean): Check[] {
  const shown = KERNEL_FEATURES.filter(({ name }) => !inside || !name.includes("idmapped"));
  const verdicts = tried(root, inside);
  return shown.map((feature) =>
    check("kernel", feature.name, "required" in feature, () => {
      if (verdicts instanceof Error) throw verdicts;
      return verdicts ? findingOf(feature, verdicts[feature.name]) : untried();
    }),
  );
}

function tried(root: boolean, inside: boolean): Record<FeatureName, Verdict> | Error | undefined {
  if (!root) return undefined;
  try {
    using userns = inside ? undefined : anyNamespace();
    return tryFeatures(userns);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function anyNamespace(): Fd | undefined {
  const ids = [{ containerID: 0, hostID: 100000, size: 65536 }];
  try {
    return makeNamespace({ uids: ids, gids: ids });
  } catch {
    return undefined;
  }
}

function findingOf(feature: KernelFeature, verdict: Verdict): Finding {
  if (verdict === true) return ok(feature.use);
  if (verdict !== false) return not("unknown", verdict, feature.without);
  const { required, since, without } = feature;
  const hint = `Linux ${since} or later has it${required ? ", unless a seccomp filter hides it" : ""}`;
  return not(required ? "missing" : "limited", `no: ${without}`, hint);
}

function userNamespaces(): Finding {
  try {
    execFileSync(requireProgram("unshare"), ["--user", "true"], {
      env: PROGRAM_ENVIRONMENT,
      stdio: "ignore",
    });
    return ok("there");
  } catch {
    return not(
      "limited",
      "cannot be made",
      "sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone",
    );
  }
}

function controlGroups(): Finding {
  const layout = cgroupLayout(parseMountinfo(readMountinfo("self") ?? ""));
  switch (layout) {
    case "v2":
      return ok("version 2");
    case "v1":
      return ok("version 1");
    case "hybrid":
      return not("limited", "version 1 and 2 side by side", "runc takes it, crun does not");
    case "none":
      return not("missing", "not mounted", "mount -t cgroup2 none /sys/fs/cgroup: runtimes need them");
  }
}

/** Whether cgroup v1 and v2 are both mounted (the hybrid layout), which crun refuses. */
export function isHybrid(): boolean {
  return cgroupLayout(parseMountinfo(readMountinfo("self") ?? "")) === "hybrid";
}
