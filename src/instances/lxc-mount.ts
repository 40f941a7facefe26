/** Keeps the configuration of a container whose instance LXC mounts itself up to date with the instance. */
import { VeneerError, withContext } from "../errors.ts";
import { makeLiveTest } from "../inventory/mounted.ts";
import { withProcesses } from "../inventory/running.ts";
import { setValue, valuesOf } from "../request/lxc-text.ts";
import { heldBy } from "../start/refuse-held.ts";
import { type BaseVersion, layerPaths, readVersion } from "../store/bases.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { type Generation, type Instance, readInstance } from "../store/instances.ts";
import {
  blockViews,
  linkConfig,
  linkView,
  lxcConfigOf,
  lxcContainerName,
  lxcDirectory,
  lxcEmpty,
  lxcMountRecord,
  mountsInstance,
  viewUpper,
} from "../store/lxc-mount.ts";
import { waitUntilFree } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { noteSetupChange } from "../store/setup-journal.ts";
import { readText, realPath, replaceFile } from "../sys/fd.ts";
import { stat } from "../sys/stat.ts";
import { formatBaseRef } from "../text/names.ts";
import { quote } from "../text/quote.ts";

/** Bytes: mount(2) takes one page of options, with a NUL. */
const OPTION_LIMIT = 4095;

/** Returns `lxc.rootfs.path` for a generation. Throws LXC_MOUNTS when LXC cannot mount it. */
export function lxcRootLine(store: Store, id: string, generation: Generation, base: BaseVersion): string {
  const parts = partUppers(paths.generation(store, id, generation.generation), generation).slice(1);
  const lowers = [...parts, ...layerPaths(store, base.manifest)];
  if (lowers.length === 1) lowers.push(lxcEmpty(store, id));
  const upper = viewUpper(store, id, generation);
  const refuse = (what: string) =>
    new VeneerError("LXC_MOUNTS", `LXC cannot mount ${id} on ${formatBaseRef(base)} itself: ${what}`, {
      hint: "set the container up without --hookless",
    });
  // LXC and the kernel split the options at colons and commas
  const odd = [...lowers, upper].find((path) => !/^\/[^:,\\\s'"]*$/.test(path));
  if (odd !== undefined)
    throw refuse(`${quote(odd)} has a character with a special meaning in mount options`);
  const options = `upperdir=${upper},lowerdir=${lowers.join(":")},workdir=${upper}`;
  if (options.length > OPTION_LIMIT) {
    throw refuse(
      `${lowers.length} layers need ${options.length} characters of mount options, and the limit is ${OPTION_LIMIT}`,
    );
  }
  return `overlay:${lowers.join(":")}:${upper}`;
}

/** Throws LXC_MOUNTS when LXC mounts the instance itself and could not do so on that version. */
export function checkLxcFits(store: Store, id: string, generation: Generation, base: BaseVersion): void {
  if (lxcConfigOf(store, id) === undefined) return;
  const { name, version } = base;
  lxcRootLine(store, id, { ...generation, base: name, version }, base);
}

/**
 * Prevents LXC from mounting an instance until the scope ends, and then updates the configuration of the container to
 * the instance. Throws HELD when the container runs. The caller holds the lock of the instance.
 */
export function holdLxc(store: Store, id: string): Disposable {
  const config = lxcConfigOf(store, id);
  if (config === undefined) return { [Symbol.dispose]() {} };
  const settle = () => settleLxc(store, id);
  // first block new starts, then look for running ones: in the other order a start could slip through
  blockViews(store, id);
  try {
    refuseLxcRunning(store, id, config);
  } catch (error) {
    settle();
    throw error;
  }
  return { [Symbol.dispose]: settle };
}

/** Milliseconds to wait for a container that has just ended to release its mounts. */
const RELEASE_WAIT = 2000;

function refuseLxcRunning(store: Store, id: string, config: string): void {
  const instance = readInstance(store, id);
  if (!instance || instance.tmpfs !== undefined) return;
  const record = lxcMountRecord(store, id, instance, makeLiveTest().isInUse);
  const [running] = record ? withProcesses([record]) : [];
  if (running) {
    const { pid } = running;
    throw heldBy(id, { ...running.record, ...(pid !== undefined && { process: { pid, startTime: 0 } }) });
  }
  const [upper] = partUppers(paths.generation(store, id, instance.generation), instance);
  if (waitUntilFree(upper as string, RELEASE_WAIT)) return;
  throw new VeneerError("HELD", `instance ${id} is held by container ${lxcContainerName(config)} (lxc)`, {
    hint: "stop that first, or use another instance",
  });
}

/**
 * Updates the view that LXC mounts and the line in the configuration of the container after a change of the instance or
 * after a process was killed. Forgets a container that has another root by now. Idempotent. Returns whether it changed
 * the configuration. The caller holds the lock of the instance.
 */
export function settleLxc(store: Store, id: string): boolean {
  const config = lxcConfigOf(store, id);
  const instance = config === undefined ? undefined : readInstance(store, id);
  if (config === undefined || !instance) return false;
  const mounts = mountsInstance(store, id, config);
  if (mounts === undefined) return false;
  if (!mounts) {
    blockViews(store, id);
    linkConfig(store, id, undefined);
    return false;
  }
  return withContext(`configuration of container ${lxcContainerName(config)}`, () => {
    const base = readVersion(store, { name: instance.base, version: instance.version });
    const line = lxcRootLine(store, id, instance, base);
    linkView(store, id, instance);
    return writeLine(store, id, config, line);
  });
}

function writeLine(store: Store, id: string, config: string, line: string): boolean {
  const text = readText(config) ?? "";
  if (
    !valuesOf(text, "rootfs.path")
      .at(-1)
      ?.includes(`:${lxcDirectory(store, id)}/`)
  )
    return false;
  const next = setValue(text, "rootfs.path", line);
  if (next === text) return false;
  const real = realPath(config) ?? config;
  replaceFile(real, next, { like: stat(real), sync: true });
  noteSetupChange(store, config, text, next);
  return true;
}

/** The id of the instance that `lxc.rootfs.path` names; undefined when that is no instance of this store. */
export function instanceOfRoot(store: Store, root: string | undefined): string | undefined {
  const upper = root?.startsWith("overlay:/") ? root.slice(root.lastIndexOf(":/") + 1) : "";
  const start = `${paths.instances(store)}/`;
  if (!upper.startsWith(start)) return undefined;
  return /^([^/]+)\/lxc\/[^/]+\/upper$/.exec(upper.slice(start.length))?.[1];
}

/** Throws IN_MEMORY for an instance that LXC cannot mount because its upper is in memory. */
export function refuseUnmountable(id: string, instance: Pick<Instance, "tmpfs">): void {
  if (instance.tmpfs === undefined) return;
  throw new VeneerError(
    "IN_MEMORY",
    `instance ${id} keeps its writes in memory, which LXC's overlay cannot`,
    {
      hint: "make an instance without --tmpfs, or set the container up without --hookless",
    },
  );
}
