/** Mounts an overlay, detached, from layers given by descriptor. */
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
  /** absent: a read-only overlay of the layers alone */
  readonly upper?: Fd;
  readonly work?: Fd;
  /** what mountinfo shows as the source */
  readonly source: string;
  /** skip every sync to the upper (overlayfs.rst, "Volatile mount"): for uppers that go with the container */
  readonly volatile: boolean;
  /** MOUNT_ATTR_* of the mount: nosuid and nodev for one that users of the host can reach */
  readonly attributes?: number | undefined;
  /** the topmost layer is the tree of an image */
  readonly image?: boolean | undefined;
  /** detached mounts that the upper and layers are on */
  readonly detached?: readonly Fd[];
  /** layers on mounts of this mount namespace; absent: all */
  readonly attached?: readonly Fd[];
}

/**
 * A detached overlay mount, gone when its descriptor is closed. Layers are given in the form that the kernel takes
 * ({@link layerForm}). Throws VeneerError with an explanation.
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

/** What is nowhere attached is attached for the while where overlayfs takes it no other way (before Linux 6.15). */
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
 * In a mount namespace of its own, to which everything is attached first: overlayfs clones its layers, and the
 * kernel clones mounts of the caller's namespace alone (fs/namespace.c, clone_private_mount). Each mount comes to
 * lie on the one before it: they are private, or the second would appear on what the first is a copy of.
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
  // most kernels need no trial on a context that is thrown away
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
  // an upper must stay usable on another version: no file handles, redirects or bare metadata in it
  setOption(context, "index", "off");
  if (inUserNamespace()) {
    // Linux 5.11; without it the kernel refuses who has no right to trusted.*, with it redirects and bare metadata
    require(setOption(context, "userxattr"), "userxattr");
  } else {
    // with "off" the kernel follows redirects that are there already (redirect_always_follow), around a mask too
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
