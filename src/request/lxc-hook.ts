/** What LXC tells a hook: in the environment, and with lxc.hook.version 0 in arguments (lxc.container.conf(5)). */
import { UsageError, VeneerError } from "../errors.ts";
import type { Store } from "../store/paths.ts";
import { isErrno } from "../sys/errno.ts";
import { openDirectory } from "../sys/fd.ts";
import { fileHandle, upperHandle } from "../sys/file-handle.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { fstat, isType, lstatMaybe, stat } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { displayName, isPlainName } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { defaultPaths, ROOT_PATHS } from "./default-paths.ts";
import type { LxcConfig } from "./lxc-config.ts";

/** LXC's variables: all that a hook reads of its environment. */
export type LxcEnvironment = Readonly<Record<string, string | undefined>>;

export interface LxcHook {
  readonly name: string;
  /** pre-mount, post-stop, … */
  readonly type: string;
  /** lxc.rootfs.path, for most storage without its type */
  readonly rootfs: string;
  /** the container's configuration file; empty when there is none */
  readonly config: string;
}

/** lxc.hook.clone: with lxc.hook.version 0 the words are NAME, `lxc`, `clone` and those of lxc-copy's command line. */
export function isCloneHook(env: LxcEnvironment, extra: readonly string[]): boolean {
  return env.LXC_HOOK_TYPE === "clone" || (env.LXC_HOOK_TYPE === undefined && extra[2] === "clone");
}

const PLACE = "set it as lxc.hook.pre-mount and lxc.hook.post-stop in the container's configuration";

/** `extra` are the words after the options: NAME, `lxc` and the type with lxc.hook.version 0, none with 1. */
export function readLxcHook(env: LxcEnvironment, extra: readonly string[]): LxcHook {
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

/** Whether the root has an overlay of ours already: pre-start has mounted it, on the host (hook/lxc-unprivileged.ts). */
export function isMountedBefore(hook: LxcHook): boolean {
  const overlay = /^overlay(?:fs)?:(.*):[^:]*$/.exec(hook.rootfs)?.[1];
  const path = overlay ?? hook.rootfs.replace(/^dir:/, "");
  if (!path.startsWith("/") || !isDirectory(path)) return false;
  using directory = openDirectory(path);
  const id = Number(fstat(directory.number).mountId);
  const mount = parseMountinfo(readMountinfo("self") ?? "").find((entry) => entry.id === id);
  if (mount?.type !== "overlay" || !mount.source.startsWith("veneer:")) return false;
  // records are out of reach in this user namespace: one that was mounted in such a namespace is none of root's
  return upperHandle(directory) !== undefined || fileHandle(directory) === undefined;
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

/**
 * Refuses a container with a user namespace in which the base's files would belong to nobody. One that a user
 * without root starts can have the user's own store, when the user is root in it: its files then have the ids
 * that they have in each namespace of the user's.
 */
export function refuseUserNamespace(hook: LxcHook, store: Store): void {
  if (!inUserNamespace() || isOwn(store)) return;
  throw new VeneerError(
    "USER_NAMESPACE",
    `container ${displayName(hook.name)} is unprivileged (lxc.idmap), and its root is not the owner of ${store.root}`,
    {
      hint:
        privilegedHint(hook) ??
        "started by root, it needs lxc.hook.pre-start too, set like lxc.hook.pre-mount ('veneer setup lxc NAME' does it); started by a user, the user must be root in it: lxc.idmap = u 0 UID 1, lxc.idmap = u 1 START 65535 (/etc/subuid), and the same with g",
    },
  );
}

/** Whether this namespace's root owns the store, or is the user for whom it will be made. */
function isOwn(store: Store): boolean {
  try {
    const root = lstatMaybe(store.root);
    const defaults = defaultPaths();
    return root ? root.uid === 0 : defaults !== ROOT_PATHS && store.root === defaults.root;
  } catch (error) {
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}

/**
 * What to set where LXD or Incus writes the configuration, which is told by its place: in a user namespace it
 * cannot be read.
 */
function privilegedHint({ config }: LxcHook): string | undefined {
  const manager = /\/(lxd|incus)\/((logs|run)\/)?[^/]+\/lxc\.conf$/.exec(config)?.[1];
  if (manager === undefined) return undefined;
  // LXD's client is called lxc; in a project, LXC's name of a container has the project in front
  return `'${manager === "lxd" ? "lxc" : "incus"} config set NAME security.privileged=true', for this container alone or in its profile, or the hooks of an unprivileged one (docs/lxd.md)`;
}
