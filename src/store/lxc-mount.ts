/**
 * Instances that LXC mounts itself, without a hook: the container's `lxc.rootfs.path` is
 * `overlay:LAYERS:STORE/instances/ID/lxc/VIEW/upper`. `lxc/config` is a symbolic link to the container's configuration.
 * `lxc/VIEW` is a symbolic link to the directory of the top part; when it dangles, LXC cannot start the container. LXC
 * does not take our locks, so a dangling link keeps it out while the instance changes.
 */
import { VeneerError } from "../errors.ts";
import {
  mkdirMaybe,
  readlink,
  readText,
  rename,
  symlink,
  syncDirectory,
  uniqueSuffix,
  unlinkQuietly,
} from "../sys/fd.ts";
import { list, lstatMaybe } from "../sys/stat.ts";
import { displayName } from "../text/names.ts";
import { partDirectory } from "./frozen-uppers.ts";
import type { Generation } from "./instances.ts";
import { paths, type Store } from "./paths.ts";
import type { UseRecord } from "./records.ts";

export const lxcDirectory = (store: Store, id: string) => `${paths.instance(store, id)}/lxc`;
/**
 * An empty directory that serves as lowest layer below a single one. lxc-destroy takes what follows the first colon for
 * the upper and deletes it (storage/overlay.c); with at least two layers there is no such directory.
 */
export const lxcEmpty = (store: Store, id: string) => `${lxcDirectory(store, id)}/empty`;
const configLink = (store: Store, id: string) => `${lxcDirectory(store, id)}/config`;

/** Differs whenever the container would see something else, so that an outdated configuration names no valid view. */
function viewName({ base, version, generation, parts = 0, folded = 0 }: Generation): string {
  return `${generation}-${base}@${version}${parts === 0 ? "" : `-${parts}-${folded}`}`;
}

/** The upper directory as it stands at the end of `lxc.rootfs.path`. */
export function viewUpper(store: Store, id: string, generation: Generation): string {
  return `${lxcDirectory(store, id)}/${viewName(generation)}/upper`;
}

/** The configuration file of the LXC container that mounts the instance; undefined where there is none. */
export function lxcConfigOf(store: Store, id: string): string | undefined {
  return readlink(configLink(store, id));
}

/** Whether the root in this configuration file is the instance; undefined where the file does not exist. */
export function mountsInstance(store: Store, id: string, config: string): boolean | undefined {
  const text = readText(config);
  if (text === undefined) return undefined;
  const [root] = [...text.matchAll(/^[ \t]*lxc\.rootfs\.path[ \t]*=(.*)$/gm)].at(-1)?.slice(1) ?? [];
  return root?.includes(`:${lxcDirectory(store, id)}/`) ?? false;
}

/**
 * Throws LXC_MOUNTS when LXC mounts the instance itself: it can then be neither started nor removed. When the container
 * is gone or has another root now, only makes sure that it can no longer mount the instance. The caller holds the
 * instance's lock.
 */
export function refuseLxcMounted(store: Store, id: string): void {
  const config = lxcConfigOf(store, id);
  if (config === undefined) return;
  if (!mountsInstance(store, id, config)) {
    blockViews(store, id);
    return;
  }
  const name = displayName(lxcContainerName(config));
  throw new VeneerError(
    "LXC_MOUNTS",
    `instance ${id} is the root of LXC container ${name}, and LXC mounts it`,
    {
      hint: `'veneer unsetup lxc ${name}' frees it, or set the container up again without --hookless`,
    },
  );
}

export function lxcContainerName(config: string): string {
  return config.split("/").at(-2) ?? "";
}

/** Makes LXC fail to mount any view of the instance except `except`. What is mounted stays mounted. Idempotent. */
export function blockViews(store: Store, id: string, except?: string): void {
  const directory = lxcDirectory(store, id);
  if (!lstatMaybe(directory)) return;
  for (const name of list(directory)) {
    if (name === "config" || name === "empty") continue;
    const path = `${directory}/${name}`;
    // a temporary link that a killed process did not rename
    if (/\.[0-9a-f]{12}$/.test(name)) unlinkQuietly(path);
    else if (name !== except && readlink(path) !== NOTHING) replaceLink(NOTHING, path);
  }
}

/** The target of a blocked view. It can never exist: LXC creates missing directories, but cannot below a device. */
const NOTHING = "/dev/null/not-in-use";

/** Lets LXC mount this generation, and no other view of the instance. Durable on return. */
export function linkView(store: Store, id: string, generation: Generation): void {
  const name = viewName(generation);
  const part = partDirectory(`../${generation.generation}`, generation.parts ?? 0);
  const path = `${lxcDirectory(store, id)}/${name}`;
  blockViews(store, id, name);
  mkdirMaybe(lxcEmpty(store, id), 0o755);
  if (readlink(path) !== part) replaceLink(part, path);
  // LXC before 5.0 uses another name for the work directory
  const old = `${lxcDirectory(store, id)}/${part}/olwork`;
  if (!lstatMaybe(old)) symlink("work", old);
  syncDirectory(lxcDirectory(store, id));
}

/** Records the configuration of the container that mounts the instance; undefined: none does. Durable on return. */
export function linkConfig(store: Store, id: string, config: string | undefined): void {
  if (config === undefined) unlinkQuietly(configLink(store, id));
  else if (lxcConfigOf(store, id) !== config) replaceLink(config, configLink(store, id));
  syncDirectory(lxcDirectory(store, id));
}

function replaceLink(target: string, path: string): void {
  const temporary = `${path}.${uniqueSuffix()}`;
  symlink(target, temporary);
  rename(temporary, path);
}

/** The record that a hook would have written for the container of an instance; undefined where it does not run. */
export function lxcMountRecord(
  store: Store,
  id: string,
  generation: Generation,
  isInUse: (upper: string) => boolean,
): UseRecord | undefined {
  const config = lxcConfigOf(store, id);
  if (config === undefined) return undefined;
  // not through its view, which is blocked while another process changes the instance
  const directory = paths.generation(store, id, generation.generation);
  const upper = `${partDirectory(directory, generation.parts ?? 0)}/upper`;
  if (!isInUse(upper)) return undefined;
  return {
    key: id,
    engine: "lxc",
    container: lxcContainerName(config),
    bundle: config,
    instance: id,
    base: generation.base,
    version: generation.version,
    placement: "container",
    source: viewUpper(store, id, generation),
    upper,
    preparer: { pid: 0, startTime: 0 },
    created: "",
  };
}
