/**
 * The trees of an overlay, idmapped to a container's user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP). Files keep
 * the plain ids of the base on disk, and have the same ids inside the namespace. A start makes these trees first, to
 * find out whether they can be made.
 */
import { VeneerError } from "../errors.ts";
import { isErrno, SysError } from "../sys/errno.ts";
import { type Fd, openBelowMaybe, openDirectory } from "../sys/fd.ts";
import { MOUNT_ATTR_IDMAP, MS_PRIVATE } from "../sys/flags.ts";
import { isKernelSince, kernelRelease } from "../sys/kernel.ts";
import { clonePeer, makeTmpfs, setMountAttributes } from "../sys/mount.ts";
import { fstat } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";

/** The name of an upper in memory in errors, since it has no path. */
const IN_MEMORY = "the upper in memory";

export interface IdmapRequest {
  /** open, top first */
  readonly layers: readonly Fd[];
  /** their paths */
  readonly names: readonly string[];
  /** the top layer is the tree of an image, to which the engine has already given the ids of the namespace */
  readonly image?: boolean | undefined;
  /** directories below this one come from a single clone of it, since each clone takes the kernel's mount lock */
  readonly root?: string;
  /** the upper will be on a tmpfs of its own */
  readonly inMemory?: boolean;
  readonly userns: Fd;
}

/** Disposal closes the clones. An overlay mounted on them is not affected, because it has clones of its own. */
export interface IdmappedTrees extends Disposable {
  readonly kind: "idmapped";
  readonly layers: readonly Fd[];
  /** the clones, all detached mounts */
  readonly detached: Fd[];
  /** the image's tree, if there is one */
  readonly attached: readonly Fd[];
  /** opens a directory in an idmapped clone */
  find(directory: Fd, path: string): Fd;
  /** adds a descriptor to those that disposal closes */
  keep(fd: Fd): Fd;
  /** idmaps another detached mount */
  idmap(mount: Fd): void;
}

export type IdmapResult = IdmappedTrees | { readonly kind: "refused"; readonly why: VeneerError };

/** Makes the trees, or returns why the kernel or a file system cannot. Throws for any other failure. */
export function idmapTrees(request: IdmapRequest): IdmapResult {
  const open: Fd[] = [];
  const close = () => {
    for (const fd of open) fd[Symbol.dispose]();
  };
  try {
    return { ...makeTrees(request, open), [Symbol.dispose]: close };
  } catch (error) {
    close();
    if (error instanceof VeneerError && error.code === "NO_IDMAP") return { kind: "refused", why: error };
    throw error;
  }
}

function makeTrees(request: IdmapRequest, open: Fd[]): Omit<IdmappedTrees, typeof Symbol.dispose> {
  const { layers, names, root, userns } = request;
  if (!isKernelSince(5, 19)) {
    throw new VeneerError("NO_IDMAP", "overlayfs takes no idmapped layers", { hint: hintFor("layers") });
  }
  if (request.inMemory) {
    using trial = makeTmpfs({});
    setIdmap(trial, userns, IN_MEMORY);
  }
  const detached: Fd[] = [];
  const keep = (fd: Fd) => {
    open.push(fd);
    return fd;
  };
  const clone = (fd: Fd, path: string) => {
    const made = keep(idmapped(fd, userns, path));
    detached.push(made);
    return made;
  };
  const shared = root === undefined ? undefined : cloneAll(root, clone);
  const find = (fd: Fd, path: string) => {
    const inside = shared && root !== undefined && path.startsWith(`${root}/`);
    const found = inside ? openSame(shared, path.slice(root.length + 1), fd) : undefined;
    return found ? keep(found) : clone(fd, path);
  };
  const attached = layers.slice(0, request.image ? 1 : 0);
  const own = layers.slice(attached.length).map((layer, index) => {
    return find(layer, names[index + attached.length] as string);
  });
  return {
    kind: "idmapped",
    layers: [...attached, ...own],
    detached,
    attached,
    find,
    keep,
    idmap(mount) {
      setIdmap(mount, userns, IN_MEMORY);
      detached.push(mount);
    },
  };
}

/** Undefined where the mounts below may be locked and so cannot be left out of the clone (mount_namespaces(7)). */
function cloneAll(path: string, clone: (fd: Fd, path: string) => Fd): Fd | undefined {
  using place = openDirectory(path);
  try {
    return clone(place, path);
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}

/** Opens a directory in a clone; undefined unless it is the one open as `fd`: another mount may cover that. */
function openSame(clone: Fd, path: string, fd: Fd): Fd | undefined {
  const found = openBelowMaybe(clone.number, path);
  if (!found) return undefined;
  const [one, other] = [fstat(found.number), fstat(fd.number)];
  if (one.ino === other.ino && one.dev === other.dev) return found;
  found[Symbol.dispose]();
  return undefined;
}

/** A detached, idmapped, private clone of the mount at an open directory, without the mounts below it. */
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
      hint: hintFor(name),
    });
  }
}

function hintFor(name: string): string {
  if (inUserNamespace()) {
    return "only the machine's root can idmap: leave out --userns and --uidmap; without them the container is in its user's namespace";
  }
  const own = `this is ${kernelRelease()}`;
  if (name === IN_MEMORY) return `idmapping a tmpfs needs Linux 6.3 (${own}): use an upper on the disk`;
  return `it needs Linux 5.19 or later (${own}) and a file system that can be idmapped (ext4, xfs, btrfs, f2fs; tmpfs from 6.3 on)`;
}
