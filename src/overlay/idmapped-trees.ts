/**
 * The trees of an overlay as a container's user namespace is to see them (mount_setattr(2), MOUNT_ATTR_IDMAP): on the
 * disk all ids stay those of the base, and inside the namespace they are the same. They are made before anything else
 * of a start, and so show whether it is possible.
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

/** How errors name an upper in memory, which has no path. */
const IN_MEMORY = "the upper in memory";

export interface IdmapRequest {
  /** open, top first */
  readonly layers: readonly Fd[];
  /** their paths */
  readonly names: readonly string[];
  /** the topmost layer is the tree of an image, which an engine has given the ids of the namespace itself */
  readonly image?: boolean | undefined;
  /** what lies below this directory is taken from one clone of it: each clone costs the kernel's lock on mounts */
  readonly root?: string;
  /** the upper will be on a tmpfs of its own */
  readonly inMemory?: boolean;
  readonly userns: Fd;
}

/** Disposal closes the clones: an overlay that is mounted on them has clones of its own. */
export interface IdmappedTrees extends Disposable {
  readonly kind: "idmapped";
  readonly layers: readonly Fd[];
  /** clones that are mounted nowhere */
  readonly detached: Fd[];
  /** the image's tree, where there is one */
  readonly attached: readonly Fd[];
  /** a directory as the namespace sees it, open */
  find(directory: Fd, path: string): Fd;
  /** closes this with the clones */
  keep(fd: Fd): Fd;
  /** makes a mount of its own so, which is mounted nowhere */
  idmap(mount: Fd): void;
}

export type IdmapResult = IdmappedTrees | { readonly kind: "refused"; readonly why: VeneerError };

/** Refused where the kernel or a file system cannot do it. Throws for any other failure. */
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

/** Undefined where what is mounted below may not be left out: it may be locked (mount_namespaces(7)). */
function cloneAll(path: string, clone: (fd: Fd, path: string) => Fd): Fd | undefined {
  using place = openDirectory(path);
  try {
    return clone(place, path);
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}

/** A directory below a clone, when it is the very one that `fd` has open: another mount may lie there. */
function openSame(clone: Fd, path: string, fd: Fd): Fd | undefined {
  const found = openBelowMaybe(clone.number, path);
  if (!found) return undefined;
  const [one, other] = [fstat(found.number), fstat(fd.number)];
  if (one.ino === other.ino && one.dev === other.dev) return found;
  found[Symbol.dispose]();
  return undefined;
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
