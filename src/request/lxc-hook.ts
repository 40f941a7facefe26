/** What LXC passes to a hook: in the environment, and with lxc.hook.version 0 in arguments (lxc.container.conf(5)). */
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

/** LXC's variables, the only part of the environment that a hook reads. */
export type LxcEnvironment = Readonly<Record<string, string | undefined>>;

export interface LxcHook {
  readonly name: string;
  /** pre-mount, post-stop, … */
  readonly type: string;
  /** lxc.rootfs.path, without its type for most kinds of storage */
  readonly rootfs: string;
  /** the container's configuration file; empty when there is none */
  readonly config: string;
}

/**
 * Whether this is lxc.hook.clone. With lxc.hook.version 0, `extra` is NAME, `lxc`, `clone` and arguments of lxc-copy.
 */
export function isCloneHook(env: LxcEnvironment, extra: readonly string[]): boolean {
  return env.LXC_HOOK_TYPE === "clone" || (env.LXC_HOOK_TYPE === undefined && extra[2] === "clone");
}

const PLACE = "set it as lxc.hook.pre-mount and lxc.hook.post-stop in the container's configuration";

/**
 * Reads what LXC passes to a hook. `extra` are the words after the options: NAME, `lxc` and the type with
 * lxc.hook.version 0, none with version 1. Throws UsageError when LXC did not call this.
 */
export function readLxcHook(env: LxcEnvironment, extra: readonly string[]): LxcHook {
  const name = env.LXC_NAME;
  const type = env.LXC_HOOK_TYPE ?? extra.at(-1);
  if (!name || !type) {
    throw new UsageError("veneer hook lxc was called without a container's name or a hook's type", PLACE);
  }
  // LXC passes the name to a shell in this version, and it may have been parsed as options above
  if (env.LXC_HOOK_TYPE === undefined && !isPlainName(name)) {
    throw new UsageError(
      `container name ${quote(name)} is not safe with lxc.hook.version 0`,
      "set lxc.hook.version = 1, or use letters, digits, '_', '-', '.' and '+', with no '-' in front",
    );
  }
  return { name, type, rootfs: env.LXC_ROOTFS_PATH ?? "", config: env.LXC_CONFIG_FILE ?? "" };
}

/**
 * The directory to mount the overlay on: the one that LXC uses as the root or, for an ephemeral copy (lxc-copy -e), the
 * one on which LXC mounts an overlay of its own. Throws for storage that is not a directory.
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

/** Whether pre-start has already mounted an overlay of ours on the root, on the host (hook/lxc-unprivileged.ts). */
export function isMountedBefore(hook: LxcHook): boolean {
  const overlay = /^overlay(?:fs)?:(.*):[^:]*$/.exec(hook.rootfs)?.[1];
  const path = overlay ?? hook.rootfs.replace(/^dir:/, "");
  if (!path.startsWith("/") || !isDirectory(path)) return false;
  using directory = openDirectory(path);
  const id = Number(fstat(directory.number).mountId);
  const mount = parseMountinfo(readMountinfo("self") ?? "").find((entry) => entry.id === id);
  if (mount?.type !== "overlay" || !mount.source.startsWith("veneer:")) return false;
  // this user namespace cannot read records; but an overlay that was mounted in a user namespace is not root's
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
 * Throws for an idmapped root: LXC would clone the directory below the overlay, and the container would silently start
 * on an empty root.
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
 * Throws for a container with a user namespace in which the base's files would belong to nobody. A container that a
 * user without root starts can use the user's own store if that user is mapped to root: the files of that store have
 * the same ids in all of the user's namespaces.
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

/** Whether root of this namespace owns the store, or is the user for whom it will be created. */
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
 * The hint for containers whose configuration LXD or Incus writes. Recognizes them by the path of the file, which
 * cannot be read in a user namespace.
 */
function privilegedHint({ config }: LxcHook): string | undefined {
  const manager = /\/(lxd|incus)\/((logs|run)\/)?[^/]+\/lxc\.conf$/.exec(config)?.[1];
  if (manager === undefined) return undefined;
  // LXD's client is called lxc; in a project, LXC's name for a container begins with the project
  return `'${manager === "lxd" ? "lxc" : "incus"} config set NAME security.privileged=true', for this container alone or in its profile, or the hooks of an unprivileged one (docs/lxd.md)`;
}
