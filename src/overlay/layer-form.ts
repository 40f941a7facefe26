/** How the kernel's overlayfs takes its layers, which is found by setting options on a temporary context. */
import { type Fd, openDirectory, symlink } from "../sys/fd.ts";
import { createMount, fsopen, setFdOption, setOption } from "../sys/mount.ts";
import { inDirectory } from "../sys/namespace.ts";

/** Layers as descriptors (Linux 6.13), as single paths (6.8), or as one string of all paths. */
export type LayerForm = "descriptor" | "path" | "list";

/** OVL_MAX_STACK in fs/overlayfs/params.h */
const MOST = 500;
/** fsconfig(2) takes strings of at most 255 bytes, without the NUL. */
const STRING_LIMIT = 255;
const NAMES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

let form: LayerForm | undefined;
let detached: boolean | undefined;

/** Passes the first layer to an overlay as a descriptor; returns false where the kernel does not support that. */
export function takesDescriptor(context: Fd, layer: Fd): boolean {
  if (form !== undefined && form !== "descriptor") return false;
  const taken = setFdOption(context, "lowerdir+", layer) === 0;
  if (taken) form = "descriptor";
  return taken;
}

/** The best form that the kernel supports. */
export function layerForm(): LayerForm {
  form ??= findForm();
  return form;
}

function findForm(): LayerForm {
  using context = fsopen("overlay");
  using directory = openDirectory("/");
  if (setFdOption(context, "lowerdir+", directory) === 0) return "descriptor";
  return judgesOptions() && setOption(context, "lowerdir+", directory.path) === 0 ? "path" : "list";
}

/**
 * Whether overlayfs checks options in fsconfig(2). Before Linux 6.5 it uses the legacy mount API: fsconfig(2) accepts
 * any string, and options are checked only when the overlay is created. So an accepted option proves something only
 * where a nonexistent one is rejected.
 */
export function judgesOptions(): boolean {
  using context = fsopen("overlay");
  return setOption(context, "veneer-no-such-option") < 0;
}

/**
 * Whether overlayfs probably accepts layers and uppers on detached mounts (Linux 6.15), judging by the option
 * override_creds, which came with it. A trial mount would leave a line in the kernel's log at each start. Callers must
 * cope with a wrong answer.
 */
export function takesDetached(): boolean {
  if (detached === undefined) {
    using context = fsopen("overlay");
    detached = judgesOptions() && setOption(context, "override_creds") === 0;
  }
  return detached;
}

/** The highest number of layers that an overlay can have on this kernel. */
export function mostLayers(): number {
  return layerForm() === "list" ? mostInList() : MOST;
}

function mostInList(): number {
  let length = 0;
  for (let count = 0; ; count++) {
    length += nameOf(count).length + (count === 0 ? 0 : 1);
    if (length > STRING_LIMIT) return count;
  }
}

/**
 * Calls `action` with one string for all layers. It has their paths in /proc/self/fd or, if that is too long, names of
 * one or two letters in a temporary working directory. Returns undefined when that is too long as well.
 */
export function withLayerList<T>(layers: readonly Fd[], action: (list: string) => T): T | undefined {
  const paths = layers.map((layer) => layer.path).join(":");
  if (paths.length <= STRING_LIMIT) return action(paths);
  const names = layers.map((_, index) => nameOf(index));
  if (names.join(":").length > STRING_LIMIT) return undefined;
  using context = fsopen("tmpfs");
  using directory = createMount(context, "tmpfs");
  for (const [index, name] of names.entries()) symlink((layers[index] as Fd).path, name, directory.number);
  return inDirectory(directory, () => action(names.join(":")));
}

function nameOf(index: number): string {
  if (index < NAMES.length) return NAMES[index] as string;
  const rest = index - NAMES.length;
  return `${NAMES[Math.floor(rest / NAMES.length)]}${NAMES[rest % NAMES.length]}`;
}
