/** How the kernel's overlayfs takes its layers: found by setting options on a context that is thrown away. */
import { type Fd, openDirectory, symlink } from "../sys/fd.ts";
import { createMount, fsopen, setFdOption, setOption } from "../sys/mount.ts";
import { inDirectory } from "../sys/namespace.ts";

/** By descriptor (Linux 6.13), by path one by one (6.8), or all paths in one string. */
export type LayerForm = "descriptor" | "path" | "list";

/** OVL_MAX_STACK in fs/overlayfs/params.h */
const MOST = 500;
/** fsconfig(2) takes a string of at most 255 bytes and its NUL. */
const STRING_LIMIT = 255;
const NAMES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

let form: LayerForm | undefined;
let detached: boolean | undefined;

/** Gives a layer by descriptor to an overlay that has none yet, where the kernel takes it so. */
export function takesDescriptor(context: Fd, layer: Fd): boolean {
  if (form !== undefined && form !== "descriptor") return false;
  const taken = setFdOption(context, "lowerdir+", layer) === 0;
  if (taken) form = "descriptor";
  return taken;
}

/** The best form that the kernel takes. */
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
 * Before Linux 6.5 overlayfs has the legacy mount API: fsconfig(2) takes whatever string it is given, which is judged
 * when the overlay is created. That an option is taken proves something only where one that cannot exist is refused.
 */
export function judgesOptions(): boolean {
  using context = fsopen("overlay");
  return setOption(context, "veneer-no-such-option") < 0;
}

/**
 * Whether overlayfs is likely to take layers and uppers on mounts that are nowhere attached (Linux 6.15): it came
 * with the option override_creds. To try it by mounting would leave a line in the kernel's log at each start; who
 * asks must be ready for either.
 */
export function takesDetached(): boolean {
  if (detached === undefined) {
    using context = fsopen("overlay");
    detached = judgesOptions() && setOption(context, "override_creds") === 0;
  }
  return detached;
}

/** The layers that one overlay can have on this kernel. */
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
 * Calls `action` with one string for all layers: their paths below /proc/self/fd, or where those do not fit names of
 * one or two letters in a directory that is the working directory meanwhile. Undefined where that is too long too.
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
