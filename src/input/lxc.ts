/** What LXC tells a hook: in the environment, and with lxc.hook.version 0 in arguments (lxc.container.conf(5)). */
import { UsageError, VeneerError } from "../errors.ts";
import { displayName, isPlainName } from "../names.ts";
import { quote } from "../quote.ts";
import { readText } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { isType, stat } from "../sys/stat.ts";
import type { LxcConfig } from "./lxc-config.ts";

export interface LxcHook {
  readonly name: string;
  /** pre-mount, post-stop, … */
  readonly type: string;
  /** lxc.rootfs.path, for most storage without its type */
  readonly rootfs: string;
  /** the container's configuration file; empty when there is none */
  readonly config: string;
}

const PLACE = "set it as lxc.hook.pre-mount and lxc.hook.post-stop in the container's configuration";

/** `extra` are the words after the options: NAME, `lxc` and the type with lxc.hook.version 0, none with 1. */
export function readLxcHook(env: NodeJS.ProcessEnv, extra: readonly string[]): LxcHook {
  const name = env.LXC_NAME;
  const type = env.LXC_HOOK_TYPE ?? extra.at(-1);
  if (!name || !type) {
    throw new UsageError("veneer hook lxc was called without a container's name or a hook's type", PLACE);
  }
  // LXC hands the name to a shell there, and it may have been read as options above
  if (env.LXC_HOOK_TYPE === undefined && !isPlainName(name)) {
    throw new UsageError(
      `container name ${quote(name)} is not safe with lxc.hook.version 0`,
      "set lxc.hook.version = 1, or use letters, digits, '_', '-', '.' and '+', with no '-' in front",
    );
  }
  return { name, type, rootfs: env.LXC_ROOTFS_PATH ?? "", config: env.LXC_CONFIG_FILE ?? "" };
}

/**
 * The directory that the overlay goes on: the one that LXC will use as the root or, for an ephemeral copy
 * (lxc-copy -e), the one on which LXC stacks an overlay of its own. Throws for storage without a directory.
 */
export function rootfsDirectory(hook: LxcHook, config: LxcConfig): string {
  const overlay = [hook.rootfs, config.rootfs].find((path) => /^overlay(fs)?:/.test(path));
  const path = overlay === undefined ? hook.rootfs.replace(/^dir:/, "") : lowerOf(hook, overlay, config);
  if (path.startsWith("/") && isDirectory(path)) return path;
  throw new VeneerError(
    "ROOTFS_TYPE",
    `lxc.rootfs.path of container ${displayName(hook.name)} is ${quote(hook.rootfs)}, not a directory`,
    { hint: "set lxc.rootfs.path = dir:DIRECTORY with an empty directory" },
  );
}

/** `overlay:LOWER:UPPER` */
function lowerOf(hook: LxcHook, path: string, config: LxcConfig): string {
  if (config.ephemeral) return path.slice(path.indexOf(":") + 1, path.lastIndexOf(":"));
  throw new VeneerError(
    "ROOTFS_TYPE",
    `lxc.rootfs.path of container ${displayName(hook.name)} is ${quote(path)}: LXC would put an overlay of its own over the base`,
    { hint: "set lxc.rootfs.path = dir:DIRECTORY with an empty directory, the writes go to veneer's store" },
  );
}

function isDirectory(path: string): boolean {
  try {
    return isType(stat(path), S_IFDIR);
  } catch {
    return false;
  }
}

/**
 * Refuses an idmapped root: LXC then clones the directory below the overlay, and the container would silently
 * start on an empty root.
 */
export function refuseIdmappedRoot(hook: LxcHook, { idmap }: LxcConfig): void {
  if (!idmap) return;
  const where = `(in ${displayName(idmap.file)})`;
  throw new VeneerError(
    "IDMAPPED_ROOT",
    `container ${displayName(hook.name)} has lxc.rootfs.options = ${displayName(idmap.options)} ${where}`,
    {
      hint: `LXC would bypass the overlay with it: ${privilegedHint(hook) ?? "remove idmap= from lxc.rootfs.options"}`,
    },
  );
}

/** Refuses an unprivileged container (lxc.idmap): its hooks run in its user namespace (user_namespaces(7)). */
export function refuseUserNamespace(hook: LxcHook): void {
  const map = readText("/proc/self/uid_map")?.trim().split(/\s+/).join(" ");
  if (map === undefined || map === "0 0 4294967295") return;
  throw new VeneerError(
    "USER_NAMESPACE",
    `container ${displayName(hook.name)} is unprivileged (lxc.idmap), and bases cannot be idmapped yet`,
    { hint: privilegedHint(hook) ?? "remove lxc.idmap, or use a root of its own for this container" },
  );
}

/**
 * What to set where LXD or Incus writes the configuration, which is told by its place: in a user namespace it
 * cannot be read.
 */
function privilegedHint({ config }: LxcHook): string | undefined {
  const manager = /\/(lxd|incus)\/((logs|run)\/)?[^/]+\/lxc\.conf$/.exec(config)?.[1];
  if (manager === undefined) return undefined;
  // LXD's client is called lxc; in a project, LXC's name of a container has the project in front
  return `'${manager === "lxd" ? "lxc" : "incus"} config set NAME security.privileged=true', for this container alone or in its profile`;
}
