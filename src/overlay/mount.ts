/** Mounts a detached overlay on layers that are given as descriptors. */
import { VeneerError } from "../errors.ts";
import { errno, isErrno, SysError } from "../sys/errno.ts";
import { explainMount } from "../sys/explain.ts";
import type { Fd } from "../sys/fd.ts";
import { MS_PRIVATE } from "../sys/flags.ts";
import { requireKernel } from "../sys/kernel.ts";
import {
  attach,
  cloneTree,
  createMount,
  fsopen,
  setFdOption,
  setMountAttributes,
  setOption,
} from "../sys/mount.ts";
import { inScratchNamespace, openScratchPlace } from "../sys/namespace.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { layerForm, takesDescriptor, takesDetached, withLayerList } from "./layer-form.ts";

export interface OverlayRequest {
  /** top layer first */
  readonly layers: readonly Fd[];
  /** absent: a read-only overlay of the layers */
  readonly upper?: Fd;
  readonly work?: Fd;
  /** source in mountinfo */
  readonly source: string;
  /** omits all syncs to the upper (overlayfs.rst, "Volatile mount"): for uppers that do not outlive the container */
  readonly volatile: boolean;
  /** MOUNT_ATTR_* of the mount: nosuid and nodev for a mount that users of the host can reach */
  readonly attributes?: number | undefined;
  /** the top layer is the tree of an image */
  readonly image?: boolean | undefined;
  /** detached mounts that hold the upper and layers */
  readonly detached?: readonly Fd[];
  /** the layers on mounts of this mount namespace; absent: all */
  readonly attached?: readonly Fd[];
}

/**
 * Creates a detached overlay mount, which disappears with its descriptor. Passes the layers in a form that the kernel
 * supports ({@link layerForm}). Throws VeneerError with an explanation.
 */
export function mountOverlay(request: OverlayRequest): Fd {
  requireKernel();
  try {
    return mountAnywhere(request);
  } catch (error) {
    if (error instanceof SysError) {
      throw new VeneerError("MOUNT_FAILED", "mount overlay", {
        cause: error,
        hint: explainMount(error.errno, request.layers.length, request.image),
      });
    }
    throw error;
  }
}

/** Attaches detached mounts temporarily where overlayfs requires that (before Linux 6.15). */
function mountAnywhere(request: OverlayRequest): Fd {
  const { detached = [] } = request;
  if (detached.length === 0) return mountHere(request);
  if (!takesDetached()) return mountAttached(request, detached);
  try {
    return mountHere(request);
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
    return mountAttached(request, detached);
  }
}

/**
 * Mounts in a temporary mount namespace, to which everything is attached first: overlayfs clones its layers, and the
 * kernel only clones mounts of the caller's namespace (fs/namespace.c, clone_private_mount). Each mount is attached on
 * top of the previous one. They are private, or the second would also appear on the original of the first.
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
      using place = openScratchPlace();
      for (const mount of [...detached, ...clones]) {
        setMountAttributes(mount, { propagation: MS_PRIVATE }, "scratch mount");
        attach(mount, place, "scratch namespace");
      }
      return mountHere({ ...request, layers });
    });
  } finally {
    for (const clone of clones) clone[Symbol.dispose]();
  }
}

function mountHere(request: OverlayRequest): Fd {
  using context = fsopen("overlay");
  require(setOption(context, "source", request.source), "source");
  const { layers } = request;
  const [top, ...below] = layers;
  // where this works, layerForm() needs no trial on a temporary context
  const taken = top !== undefined && takesDescriptor(context, top);
  const form = layerForm();
  if (form === "list") {
    const overlay = withLayerList(layers, (list) => {
      require(setOption(context, "lowerdir", list), "lowerdir");
      return create(context, request);
    });
    if (overlay) return overlay;
    throw new SysError(errno.E2BIG as number, `mount overlay of ${layers.length} layers`);
  }
  for (const layer of taken ? below : layers) setDirectory(context, "lowerdir+", layer);
  return create(context, request);
}

function create(context: Fd, request: OverlayRequest): Fd {
  if (request.upper && request.work) {
    setDirectory(context, "upperdir", request.upper);
    setDirectory(context, "workdir", request.work);
    if (request.volatile) require(setOption(context, "volatile"), "volatile");
  }
  // an upper must remain usable on another version, so it must not contain file handles, redirects or metacopies
  setOption(context, "index", "off");
  if (inUserNamespace()) {
    // Linux 5.11; without this option, mounting needs access to trusted.*; with it, redirects and metacopies are off
    require(setOption(context, "userxattr"), "userxattr");
  } else {
    // with "off", the kernel still follows existing redirects (redirect_always_follow), which could bypass a mask
    setOption(context, "redirect_dir", "nofollow");
    setOption(context, "metacopy", "off");
  }
  return createMount(context, "overlay", request.attributes ?? 0);
}

function setDirectory(context: Fd, key: "lowerdir+" | "upperdir" | "workdir", directory: Fd): void {
  const byDescriptor = layerForm() === "descriptor";
  const result = byDescriptor
    ? setFdOption(context, key, directory)
    : setOption(context, key, directory.path);
  require(result, key);
}

function require(result: number, option: string): void {
  if (result < 0) throw new SysError(-result, `fsconfig overlay ${option}`);
}
