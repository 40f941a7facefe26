/** Mounts an overlay, detached, from layers given by descriptor. */
import { VeneerError } from "../errors.ts";
import { explainMount } from "../plan/explain.ts";
import { errno, isErrno, SysError } from "../sys/errno.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID } from "../sys/flags.ts";
import { attach, cloneTree, createMount, fsopen, setFdOption, setOption } from "../sys/mount.ts";
import { inScratchNamespace } from "../sys/namespace.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";

export interface OverlayRequest {
  /** top layer first */
  readonly layers: readonly Fd[];
  /** absent: a read-only overlay of the layers alone */
  readonly upper?: Fd;
  readonly work?: Fd;
  /** what mountinfo shows as the source */
  readonly source: string;
  /** skip every sync to the upper (overlayfs.rst, "Volatile mount"): for uppers that go with the container */
  readonly volatile: boolean;
  /** nosuid and nodev: for a mount that users of the host can reach */
  readonly restricted?: boolean | undefined;
  /** the topmost layer is the tree of an image */
  readonly image?: boolean | undefined;
  /** detached mounts that the upper and layers are on */
  readonly detached?: readonly Fd[];
  /** layers on mounts of this mount namespace; absent: all */
  readonly attached?: readonly Fd[];
}

/** fsconfig(2) takes a string of at most 255 bytes and its NUL. */
const OPTION_LIMIT = 255;

/**
 * A detached overlay mount, gone when its descriptor is closed. Layers are given by descriptor (Linux 6.13,
 * mountinfo then shows their paths), else by their paths below /proc/self/fd one by one (6.8), else in one
 * string, which has room for about 15. Throws VeneerError with an explanation.
 */
export function mountOverlay(request: OverlayRequest): Fd {
  try {
    return mountVolatile(request);
  } catch (error) {
    if (error instanceof SysError) {
      throw new VeneerError("MOUNT", "mount overlay", {
        cause: error,
        hint: explainMount(error.errno, request.layers.length, request.image),
      });
    }
    throw error;
  }
}

/**
 * Volatile as asked for, or not at all where the kernel does not know the option (before Linux 5.10); with what is
 * detached attached for the while where the kernel takes it no other way (before 6.15).
 */
function mountVolatile(request: OverlayRequest): Fd {
  try {
    return tryMount(request, request.volatile);
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
    if (request.detached?.length) return mountAttached(request, request.detached);
    if (!request.volatile) throw error;
    return tryMount(request, false);
  }
}

/**
 * In a mount namespace of its own, to which everything is attached first: overlayfs clones its layers, and the
 * kernel clones mounts of the caller's namespace alone (fs/namespace.c, clone_private_mount).
 */
function mountAttached(request: OverlayRequest, detached: readonly Fd[]): Fd {
  const clones: Fd[] = [];
  try {
    const layers = request.layers.map((layer) => {
      if (request.attached && !request.attached.includes(layer)) return layer;
      const clone = cloneTree(layer.number, "", false);
      clones.push(clone);
      return clone;
    });
    return inScratchNamespace(() => {
      using root = openDirectory("/");
      for (const mount of [...detached, ...clones]) attach(mount, root, "scratch namespace");
      return tryMount({ ...request, layers }, request.volatile);
    });
  } finally {
    for (const clone of clones) clone[Symbol.dispose]();
  }
}

function tryMount(request: OverlayRequest, volatile: boolean): Fd {
  using context = fsopen("overlay");
  require(setOption(context, "source", request.source), "source");
  setLayers(context, request.layers);
  if (request.upper && request.work) {
    setLayer(context, "upperdir", request.upper);
    setLayer(context, "workdir", request.work);
    if (volatile) require(setOption(context, "volatile"), "volatile");
  }
  // an upper must stay usable on another version: no file handles, redirects or bare metadata in it
  setOption(context, "index", "off");
  if (inUserNamespace()) {
    // Linux 5.11; without it the kernel refuses who has no right to trusted.*, with it redirects and bare metadata
    require(setOption(context, "userxattr"), "userxattr");
  } else {
    setOption(context, "redirect_dir", "off");
    setOption(context, "metacopy", "off");
  }
  return createMount(context, "overlay", request.restricted ? MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV : 0);
}

function setLayers(context: Fd, layers: readonly Fd[]): void {
  const first = layers[0] as Fd;
  if (setFdOption(context, "lowerdir+", first) === 0) {
    for (const layer of layers.slice(1)) require(setFdOption(context, "lowerdir+", layer), "lowerdir+");
    return;
  }
  if (setOption(context, "lowerdir+", first.path) === 0) {
    for (const layer of layers.slice(1)) require(setOption(context, "lowerdir+", layer.path), "lowerdir+");
    return;
  }
  const all = layers.map((layer) => layer.path).join(":");
  if (all.length > OPTION_LIMIT)
    throw new SysError(errno.E2BIG as number, `mount overlay of ${layers.length} layers`);
  require(setOption(context, "lowerdir", all), "lowerdir");
}

function setLayer(context: Fd, key: "upperdir" | "workdir", directory: Fd): void {
  if (setFdOption(context, key, directory) === 0) return;
  require(setOption(context, key, directory.path), key);
}

function require(result: number, option: string): void {
  if (result < 0) throw new SysError(-result, `fsconfig overlay ${option}`);
}
