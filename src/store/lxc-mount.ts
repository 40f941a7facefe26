/**
 * Instances that LXC mounts itself, without a hook: the container's `lxc.rootfs.path` is
 * `overlay:LAYERS:STORE/instances/ID/lxc/VIEW/upper`. `lxc/config` is a link to that configuration; `lxc/VIEW` is
 * one to the directory of the part that is written to, or to nothing: then LXC fails to start the container. LXC
 * knows none of our locks, so that is what keeps it out while the instance is changed.
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
 * An empty directory, the lowest layer where there is but one: lxc-destroy takes what follows the first colon for the
 * upper and would delete it (storage/overlay.c), but with two layers it finds nothing there.
 */
export const lxcEmpty = (store: Store, id: string) => `${lxcDirectory(store, id)}/empty`;
const configLink = (store: Store, id: string) => `${lxcDirectory(store, id)}/config`;

/** Of a name of its own for all that the container would see: a stale line names another view. */
function viewName({ base, version, generation, parts = 0, folded = 0 }: Generation): string {
  return `${generation}-${base}@${version}${parts === 0 ? "" : `-${parts}-${folded}`}`;
}

/** What the last part of `lxc.rootfs.path` is. */
export function viewUpper(store: Store, id: string, generation: Generation): string {
  return `${lxcDirectory(store, id)}/${viewName(generation)}/upper`;
}

/** The configuration of the container that mounts the instance; undefined where there is none. */
export function lxcConfigOf(store: Store, id: string): string | undefined {
  return readlink(configLink(store, id));
}

/** Whether the configuration's root is this instance; undefined where the file is not there. */
export function mountsInstance(store: Store, id: string, config: string): boolean | undefined {
  const text = readText(config);
  if (text === undefined) return undefined;
  const [root] = [...text.matchAll(/^[ \t]*lxc\.rootfs\.path[ \t]*=(.*)$/gm)].at(-1)?.slice(1) ?? [];
  return root?.includes(`:${lxcDirectory(store, id)}/`) ?? false;
}

/**
 * Refuses an instance that LXC mounts itself, for a start or a removal. One whose container has been given
 * another root, or is gone, is let through, and its container kept from mounting it. The caller holds its lock.
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

/** Lets LXC fail to mount any view of the instance; what is mounted stays so. Idempotent. */
export function blockViews(store: Store, id: string, except?: string): void {
  const directory = lxcDirectory(store, id);
  if (!lstatMaybe(directory)) return;
  for (const name of list(directory)) {
    if (name === "config" || name === "empty") continue;
    const path = `${directory}/${name}`;
    // what a killed process had not renamed yet
    if (/\.[0-9a-f]{12}$/.test(name)) unlinkQuietly(path);
    else if (name !== except && readlink(path) !== NOTHING) replaceLink(NOTHING, path);
  }
}

/** Dangles, and stays so: LXC makes missing directories, but not through a link that leads nowhere. */
const NOTHING = "/dev/null/not-in-use";

/** Lets LXC mount the generation, and no other view of the instance. Durable on return. */
export function linkView(store: Store, id: string, generation: Generation): void {
  const name = viewName(generation);
  const part = partDirectory(`../${generation.generation}`, generation.parts ?? 0);
  const path = `${lxcDirectory(store, id)}/${name}`;
  blockViews(store, id, name);
  mkdirMaybe(lxcEmpty(store, id), 0o755);
  if (readlink(path) !== part) replaceLink(part, path);
  // LXC before 5.0 has its work directory at another name
  const old = `${lxcDirectory(store, id)}/${part}/olwork`;
  if (!lstatMaybe(old)) symlink("work", old);
  syncDirectory(lxcDirectory(store, id));
}

/** Says which container mounts the instance; undefined: none any more. Durable on return. */
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

/** A record of an instance's container, as a hook would have written one; undefined where it does not run. */
export function lxcMountRecord(
  store: Store,
  id: string,
  generation: Generation,
  isInUse: (upper: string) => boolean,
): UseRecord | undefined {
  const config = lxcConfigOf(store, id);
  if (config === undefined) return undefined;
  // not by its view, which is blocked while somebody else has the instance
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
