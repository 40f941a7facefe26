/**
 * An overlay whose layers and upper are idmapped to a container's user namespace (mount_setattr(2),
 * MOUNT_ATTR_IDMAP): on disk all ids stay those of the base, and inside the namespace they are the same.
 */
import { causes, VeneerError } from "../errors.ts";
import { type FsIds, withFsIds } from "../sys/credentials.ts";
import { isErrno, SysError } from "../sys/errno.ts";
import { type Fd, openat2, openDirectory, readText } from "../sys/fd.ts";
import { MOUNT_ATTR_IDMAP, MS_PRIVATE, O_DIRECTORY, O_PATH, RESOLVE_EXACT } from "../sys/flags.ts";
import { clonePeer, setMountAttributes } from "../sys/mount.ts";
import { fstat } from "../sys/stat.ts";
import { inUserNamespace, overflowIds } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";
import { mountOverlay, type OverlayRequest } from "./mount.ts";

/** How errors name an upper in memory, which has no path. */
const IN_MEMORY = "the upper in memory";

export interface MappedRequest extends Omit<OverlayRequest, "upper" | "work" | "detached" | "attached"> {
  /** paths of the layers */
  readonly names: readonly string[];
  /** holds `upper` and `work`, with the ids that the base has; owned by root */
  readonly parent: Fd;
  /** its path */
  readonly directory?: string;
  /** what lies below it is taken from one clone of it */
  readonly root?: string;
  /** the parent is a mount that is nowhere attached: it is idmapped itself */
  readonly inMemory?: boolean;
  readonly userns: Fd;
}

export interface MappedOverlay extends Disposable {
  readonly overlay: Fd;
  /** root of the user namespace as the host counts: whoever creates something in the overlay must be it */
  readonly root: FsIds;
}

/**
 * A detached overlay like that of {@link mountOverlay}. Overlayfs keeps the credentials that it was mounted with
 * and makes its work directory and whiteouts by them: they must be of ids that the map has. The upper and the
 * work directory come from one clone, since overlayfs wants both on one mount, and so does what lies in the store:
 * each clone costs the kernel's lock on mounts.
 *
 * Disposal closes the clones, and not the overlay, which has clones of its own. The kernel takes a mount that is
 * nowhere attached away after a grace period of RCU, some milliseconds on a busy machine: a process that ends anyway
 * may leave that to its end.
 */
export function mountMapped(request: MappedRequest): MappedOverlay {
  const { layers, names, parent, directory, root: top, inMemory, userns, ...rest } = request;
  const open: Fd[] = [];
  const detached: Fd[] = [];
  const keep = (fd: Fd) => {
    open.push(fd);
    return fd;
  };
  const map = (fd: Fd, name: string) => {
    const clone = keep(idmapped(fd, userns, name));
    detached.push(clone);
    return clone;
  };
  let shared: Fd | "none" | undefined;
  const find = (fd: Fd, path: string) => {
    if (top === undefined || !path.startsWith(`${top}/`)) return map(fd, path);
    shared ??= share(top);
    const found = shared === "none" ? undefined : openSame(shared, path.slice(top.length + 1), fd);
    return found ? keep(found) : map(fd, path);
  };
  const share = (path: string) => {
    using place = openDirectory(path);
    try {
      return map(place, path);
    } catch (error) {
      // a mount below it may be locked (mount_namespaces(7))
      if (error instanceof SysError) return "none";
      throw error;
    }
  };
  try {
    // an engine gives the tree of an image the ids of the namespace by itself
    const attached = layers.slice(0, request.image ? 1 : 0);
    const mapped = layers
      .slice(attached.length)
      .map((layer, index) => find(layer, names[index + attached.length] as string));
    if (inMemory) {
      setIdmap(parent, userns, IN_MEMORY);
      detached.push(parent);
    }
    const place = inMemory ? parent : find(parent, directory ?? "the upper");
    const root = ownerOf(place);
    const upper = keep(openDirectory("upper", place.number));
    const work = keep(openDirectory("work", place.number));
    const all = { ...rest, layers: [...attached, ...mapped], upper, work, detached, attached };
    const overlay = withFsIds(root, () => mountKnown(all));
    return { overlay, root, [Symbol.dispose]: () => close(open) };
  } catch (error) {
    close(open);
    throw error;
  }
}

/** A directory below a clone, when it is the very one that `fd` has open: another mount may lie there. */
function openSame(clone: Fd, path: string, fd: Fd): Fd | undefined {
  let found: Fd;
  try {
    found = openat2(clone.number, path, O_PATH | O_DIRECTORY, RESOLVE_EXACT);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
  const [one, other] = [fstat(found.number), fstat(fd.number)];
  if (one.ino === other.ino && one.dev === other.dev) return found;
  found[Symbol.dispose]();
  return undefined;
}

function close(all: readonly Fd[]): void {
  for (const fd of all) fd[Symbol.dispose]();
}

/** Overlayfs before Linux 5.19 refuses layers that the kernel has idmapped, with EINVAL. */
function mountKnown(request: OverlayRequest): Fd {
  try {
    return mountOverlay(request);
  } catch (error) {
    if (!hasErrno(error, "EINVAL") || !isOld(kernelRelease())) throw error;
    throw new VeneerError("NO_IDMAP", "overlayfs takes no idmapped layers", {
      cause: error instanceof VeneerError ? error.cause : error,
      hint: noIdmapHint(),
    });
  }
}

function hasErrno(error: unknown, name: string): boolean {
  for (const cause of causes(error)) if (isErrno(cause, name)) return true;
  return false;
}

function isOld(release: string): boolean {
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  return major < 5 || (major === 5 && minor < 19);
}

function kernelRelease(): string {
  return readText("/proc/sys/kernel/osrelease")?.trim() ?? "unknown";
}

/** A detached, idmapped, private clone of the mount at an open directory, without what is mounted below it. */
export function idmapped(directory: Fd, userns: Fd, name: string): Fd {
  const clone = clonePeer(directory.number, "", false);
  try {
    setIdmap(clone, userns, name);
    return clone;
  } catch (error) {
    clone[Symbol.dispose]();
    throw error;
  }
}

function setIdmap(mount: Fd, userns: Fd, name: string): void {
  try {
    setMountAttributes(mount, { set: MOUNT_ATTR_IDMAP, propagation: MS_PRIVATE, userns }, name);
  } catch (cause) {
    if (!isErrno(cause, "EINVAL", "ENOSYS", "EPERM", "EOPNOTSUPP")) throw cause;
    const what = name === IN_MEMORY ? name : quote(name);
    throw new VeneerError("NO_IDMAP", `${what} cannot be idmapped to the container's user namespace`, {
      cause,
      hint: noIdmapHint(name === IN_MEMORY),
    });
  }
}

function noIdmapHint(inMemory = false): string {
  if (inUserNamespace()) {
    return "only the machine's root can idmap: leave out --userns and --uidmap, the container is in its user's namespace without them";
  }
  if (inMemory)
    return `a tmpfs can be idmapped from Linux 6.3 on (this is ${kernelRelease()}): use an upper on the disk`;
  return `it needs Linux 5.19 or later (this is ${kernelRelease()}) and a file system that can be idmapped (ext4, xfs, btrfs, f2fs; tmpfs from 6.3 on)`;
}

/** Who id 0 of the namespace is: the directory belongs to root on the disk. */
function ownerOf(directory: Fd): FsIds {
  const { uid, gid } = fstat(directory.number);
  const nobody = overflowIds();
  if (uid !== nobody.uid && gid !== nobody.gid) return { uid, gid };
  throw new VeneerError("NO_ROOT_ID", "the container's user namespace has no user or group 0", {
    hint: "map an id for root: linux.uidMappings and linux.gidMappings with containerID 0",
  });
}
