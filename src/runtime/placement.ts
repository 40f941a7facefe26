/** Whether the wrapping runtime can place a container's overlay, from the parsed config.json. */
import { VeneerError } from "../errors.ts";
import type { BundleConfig } from "../request/oci-config.ts";
import { type Fd, readlink } from "../sys/fd.ts";
import { keepsGroups } from "../sys/mount-here.ts";
import { fstat, statMaybe } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";

/** Throws unless the container gets a new mount namespace, as a copy of the one that has the overlay. */
export function requireOwnNamespace(config: BundleConfig): void {
  const mounts = (config.linux?.namespaces ?? []).filter(({ type }) => type === "mount");
  if (mounts.length === 0) {
    throw new VeneerError("NO_NAMESPACE", "the container has no mount namespace of its own", {
      hint: 'add { "type": "mount" } to linux.namespaces in config.json, or name no base',
    });
  }
  if (mounts.some(({ path }) => path !== undefined && path !== "")) {
    throw new VeneerError("NO_NAMESPACE", "the container joins a mount namespace, which already has a root", {
      hint: 'take the path from { "type": "mount" } in linux.namespaces in config.json, or name no base',
    });
  }
}

/**
 * Whether mounts in the container or in its volumes must propagate to the host (config-linux.md, "Rootfs Mount
 * Propagation"; config.md#mounts).
 */
function wantsSharedMounts(config: BundleConfig): boolean {
  const isShared = (word: string) => word === "shared" || word === "rshared";
  if (isShared(config.linux?.rootfsPropagation ?? "")) return true;
  return (config.mounts ?? []).some(({ options }) => options?.some(isShared));
}

/** Throws where such mounts would not propagate from a mount namespace of veneer's. */
export function requireGroups(config: BundleConfig): void {
  if (!wantsSharedMounts(config)) return;
  const why = !keepsGroups()
    ? "needs Linux 5.15"
    : inUserNamespace()
      ? "is not possible in a user namespace"
      : undefined;
  if (why === undefined) return;
  throw new VeneerError("NO_SHARED_MOUNTS", `shared mount propagation of a container on a base ${why}`, {
    hint: "use slave or private in linux.rootfsPropagation and in the mounts' options",
  });
}

/**
 * Throws when the root is the directory of config.json or contains it: the runtime would look for config.json in the
 * base. Compares the paths from the kernel, which have no symbolic links.
 */
export function refuseRootAbove(root: Fd, directory: Fd, path: string): void {
  const above = readlink(root.path) ?? "/";
  const place = readlink(directory.path) ?? "/";
  if (above === "/" || place === above || place.startsWith(`${above}/`)) throw holdsBundle(path);
}

function holdsBundle(path: string): VeneerError {
  return new VeneerError("BAD_ROOT", `root.path ${path} is the bundle, or holds it`, {
    hint: "give the container a directory of its own for its root, such as an empty rootfs in the bundle",
  });
}

/**
 * Throws for a root.path with `..` that means one directory when it is shortened as text (runc) and another when the
 * kernel resolves it (crun).
 */
export function refuseTwoRoots(root: Fd, bundle: string, path: string): void {
  if (!path.split("/").includes("..")) return;
  const parts: string[] = [];
  for (const part of (path.startsWith("/") ? path : `${bundle}/${path}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  const short = statMaybe(`/${parts.join("/")}`);
  const { ino, dev, mountId } = fstat(root.number);
  if (short && short.ino === ino && short.dev === dev && short.mountId === mountId) return;
  throw new VeneerError("BAD_ROOT", "root.path leads to different places for different runtimes", {
    hint: "write root.path without ..",
  });
}
