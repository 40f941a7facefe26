/** A container's config.json (OCI runtime specification, config.md and config-linux.md). Pure: facts in, data out. */

import type { HookEntry } from "../request/oci-config.ts";
import type { CgroupLayout } from "../sys/cgroup.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { TTY_GROUP } from "../userns/tty-group.ts";
import type { User } from "./user.ts";
import type { Volume } from "./volume.ts";

export interface ContainerFacts {
  readonly hostname: string;
  readonly rootfs: string;
  readonly args: readonly string[];
  /** what the image says, then what the caller says; the defaults come before both */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: User;
  readonly terminal: boolean;
  readonly network: "host" | "none";
  /** the host's file, bound over the root's; absent: the root's own is seen */
  readonly resolvConf?: string;
  readonly volumes: readonly Volume[];
  readonly cgroups: CgroupLayout;
  /** of a user without root: whether group 5, the owner of terminals, is there; absent: of root */
  readonly rootless?: { readonly ttyGroup: boolean };
  /** a user namespace with these maps */
  readonly idmap?: IdMap;
  /** absent: the runtime chooses */
  readonly cgroupsPath?: string;
  /** number of open files; absent: as the runtime is started */
  readonly nofile?: { readonly soft: number; readonly hard: number };
  readonly annotations: Readonly<Record<string, string>>;
  readonly hooks?: { readonly createRuntime: readonly HookEntry[]; readonly poststop: readonly HookEntry[] };
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What docker leaves a container's root with (moby, oci/caps/defaults.go). */
const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** moby, oci/defaults.go */
const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/**
 * Variables in order, each once: a later setting replaces an earlier one in its place. A word without `=`,
 * which an image's config may hold, is left out.
 */
export function mergeEnvironment(...sources: readonly (readonly string[])[]): string[] {
  const merged = new Map<string, string>();
  for (const word of sources.flat()) {
    const equals = word.indexOf("=");
    if (equals > 0) merged.set(word.slice(0, equals), word);
  }
  return [...merged.values()];
}

/** A host name of letters, digits and dashes, at most 63 long (hostname(7)). */
export function hostnameOf(id: string): string {
  return (
    id
      .replace(/[^A-Za-z0-9-]/g, "-")
      .replace(/^-+/, "")
      .slice(0, 63) || "container"
  );
}

export function ociConfig(facts: ContainerFacts): object {
  const { user, nofile, hooks, idmap } = facts;
  return {
    ociVersion: "1.0.2",
    root: { path: facts.rootfs },
    hostname: facts.hostname,
    process: {
      terminal: facts.terminal,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      args: facts.args,
      env: mergeEnvironment([`PATH=${DEFAULT_PATH}`, `HOME=${user.home}`], facts.env),
      cwd: facts.cwd,
      // none inheritable: a program with file capabilities gets them from the bounding set alone
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      ...(nofile && { rlimits: [{ type: "RLIMIT_NOFILE", ...nofile }] }),
    },
    mounts: mounts(facts),
    annotations: facts.annotations,
    ...(hooks && { hooks }),
    linux: {
      namespaces: namespaces(facts).map((type) => ({ type })),
      ...(idmap && { uidMappings: idmap.uids, gidMappings: idmap.gids }),
      ...(facts.cgroupsPath !== undefined && { cgroupsPath: facts.cgroupsPath }),
      // the runtime adds /dev/null and its kin, and terminals
      resources: { devices: [{ allow: false, access: "rwm" }] },
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
    },
  };
}

const SYS = {
  destination: "/sys",
  type: "sysfs",
  source: "sysfs",
  options: ["nosuid", "noexec", "nodev", "ro"],
};
/** A sysfs of one's own needs a network namespace of one's own (sysfs(5)). */
const HOST_SYS = {
  destination: "/sys",
  type: "bind",
  source: "/sys",
  options: ["rbind", "rslave", "nosuid", "noexec", "nodev", "ro"],
};

function namespaces(facts: ContainerFacts): string[] {
  const types = ["pid", "ipc", "uts", "mount"];
  if (facts.network === "none") types.push("network");
  if (facts.cgroups === "v2") types.push("cgroup");
  if (facts.idmap) types.push("user");
  return types;
}

function mounts(facts: ContainerFacts): object[] {
  const { rootless } = facts;
  const ttyGroup = rootless?.ttyGroup === false ? [] : [`gid=${TTY_GROUP}`];
  const all: object[] = [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...ttyGroup],
    },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
    {
      destination: "/dev/mqueue",
      type: "mqueue",
      source: "mqueue",
      options: ["nosuid", "noexec", "nodev"],
    },
    (rootless || facts.idmap) && facts.network === "host" ? HOST_SYS : SYS,
  ];
  // version 1 has no namespace of its own, and a user may not mount it
  if (facts.cgroups === "v2" || (facts.cgroups !== "none" && !rootless)) {
    all.push({
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
    });
  }
  if (facts.resolvConf !== undefined) all.push(bind(facts.resolvConf, "/etc/resolv.conf", true));
  for (const { source, destination, readonly } of facts.volumes)
    all.push(bind(source, destination, readonly));
  return all;
}

function bind(source: string, destination: string, readonly: boolean): object {
  return {
    destination,
    type: "bind",
    source,
    options: ["rbind", "rprivate", readonly ? "ro" : "rw"],
  };
}
