/** Named instances as listings show them. */
import { formatError } from "../errors.ts";
import { measure } from "../overlay/walk.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { type Instance, listInstances, readInstance } from "../store/instances.ts";
import { lxcMountRecord } from "../store/lxc-mount.ts";
import { partsOnDisk } from "../store/mounts/in-use.ts";
import { paths, type Store } from "../store/paths.ts";
import { findHolder, type UseRecord } from "../store/records.ts";
import { isErrno } from "../sys/errno.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { type LiveTest, makeLiveTest } from "./mounted.ts";

/** `in-use`: no record names it, but its upper is still mounted in some mount namespace, so nothing may use it. */
export type State = "running" | "mounted" | "in-use" | "stopped" | "damaged";

export interface InstanceView {
  readonly id: string;
  readonly state: State;
  /** absent when it is damaged */
  readonly instance?: Instance;
  /** the record of what uses it now */
  readonly holder?: UseRecord;
  /** why it is damaged */
  readonly error?: string;
}

/** Lists damaged instances too, with the error. Leaves out instances that are removed meanwhile. */
export function viewInstances(store: Store): InstanceView[] {
  const live = makeLiveTest();
  return listInstances(store).flatMap((id) => viewInstance(store, id, live) ?? []);
}

/** Undefined when there is no such instance. */
export function viewInstance(
  store: Store,
  id: string,
  live: LiveTest = makeLiveTest(),
): InstanceView | undefined {
  const record = findHolder(store, id);
  const holder = record && live.isLive(record) ? { holder: record } : {};
  let instance: Instance | undefined;
  try {
    instance = readInstance(store, id);
  } catch (error) {
    // another user's store, which is not damaged
    if (isErrno(error, "EACCES")) throw error;
    return { id, state: "damaged", error: formatError(error), ...holder };
  }
  if (!instance) {
    if (!lstatMaybe(paths.instance(store, id))) return undefined;
    return { id, state: "damaged", error: `${paths.instanceFile(store, id)} is missing`, ...holder };
  }
  const byLxc = record ? undefined : lxcMountRecord(store, id, instance, live.isInUse);
  if (byLxc) return { id, state: "running", instance, holder: byLxc };
  return { id, state: stateOf(holder.holder) ?? idleState(store, id, instance, live), instance, ...holder };
}

function idleState(store: Store, id: string, instance: Instance, live: LiveTest): State {
  if (instance.tmpfs !== undefined) return "stopped";
  const uppers = partUppers(paths.generation(store, id, instance.generation), instance);
  return uppers.some((upper) => live.isLeftMounted(upper)) ? "in-use" : "stopped";
}

function stateOf(holder: UseRecord | undefined): State | undefined {
  if (!holder) return undefined;
  return holder.engine === "mount" ? "mounted" : "running";
}

/** The bytes on disk of the uppers of an instance, by generation; undefined for a generation that cannot be read. */
export function ownBytes(store: Store, id: string, instance: Instance): Map<number, number | undefined> {
  return new Map(
    [instance, ...(instance.kept ?? [])].map((one) => [
      one.generation,
      uppersBytes(partsOnDisk(paths.generation(store, id, one.generation))),
    ]),
  );
}

/** The bytes of all parts. Files that parts share by hard links count once. */
function uppersBytes(parts: readonly string[]): number | undefined {
  const linked = new Set<bigint>();
  const uppers = parts.map((part) => `${part}/upper`).filter((upper) => lstatMaybe(upper));
  try {
    return uppers.reduce((sum, upper) => sum + measure(upper, linked).bytes, 0);
  } catch {
    return undefined;
  }
}

/** The sum of {@link ownBytes}; undefined when one generation is unknown. */
export function totalBytes(bytes: ReadonlyMap<number, number | undefined>): number | undefined {
  let total = 0;
  for (const value of bytes.values()) {
    if (value === undefined) return undefined;
    total += value;
  }
  return total;
}
