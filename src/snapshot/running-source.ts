/** Copies the upper of what runs: its processes are stopped for the moment in which it is copied. */
import { VeneerError } from "../errors.ts";
import { type CopySource, holdUnused } from "../instances/clone.ts";
import { mergeUppers } from "../instances/frozen-uppers-merge.ts";
import { Leftovers, never } from "../instances/lay-parts.ts";
import { withProcesses } from "../inventory/running.ts";
import { PAUSE_LIMIT } from "../live/pause.ts";
import { findMembers, type Members } from "../live/processes.ts";
import { type LiveTarget, uppersOf } from "../live/rebase.ts";
import { onInterrupt } from "../process/interrupt.ts";
import type { Progress } from "../process/progress.ts";
import { holdTarget } from "../rebase/target.ts";
import type { Settings } from "../request/config.ts";
import { readVersion } from "../store/bases.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { type Instance, newDefinition } from "../store/instances.ts";
import { isMountedAtTarget } from "../store/mounts/identity.ts";
import { isRootOf } from "../store/mounts/roots.ts";
import type { Store } from "../store/paths.ts";
import { findHolder, type UseRecord } from "../store/records.ts";
import { makeStaging } from "../store/staging.ts";
import { rename } from "../sys/fd.ts";
import { identify } from "../sys/process.ts";
import { displayName } from "../text/names.ts";
import { copyOverlay } from "../trees/copy-tree.ts";
import { Omissions } from "../trees/omissions.ts";
import { type PauseReport, whilePaused } from "./paused.ts";
import { copyBeforehand } from "./ready-files.ts";
import { isStill, listStill } from "./stillness.ts";
import { watchUsers } from "./users.ts";

/** A source that tells for how long what it copied stood still; absent: nothing ran. */
export interface RunningSource extends CopySource {
  report(): PauseReport | undefined;
}

/**
 * What runs on an instance, or a container without one, or an instance that nothing uses. The copy is of one moment, in
 * which no process of it ran: those of a container, or all that use an instance which is mounted by hand. `pauseLimit`:
 * milliseconds. Throws where what runs cannot be stopped or copied, before anything of it is stopped.
 */
export function holdRunning(
  { store, config }: Settings,
  id: string,
  pauseLimit = PAUSE_LIMIT,
): RunningSource {
  const held = holdTarget(store, id);
  try {
    const { record = mountedByHand(store, id), instance } = held.target;
    if (!record) {
      held[Symbol.dispose]();
      return { ...holdUnused(store, id), report: () => undefined };
    }
    refuseKinds(record, instance?.definition);
    const target: LiveTarget = { record, ...(instance && { instance }) };
    const definition = instance?.definition ?? definitionOf(store, record, config.opaque);
    let report: PauseReport | undefined;
    return {
      id,
      definition,
      async copy(to, overlay, progress) {
        report = await copyRunning(store, target, to, overlay, pauseLimit, progress);
      },
      report: () => report,
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}

function mountedByHand(store: Store, id: string): UseRecord | undefined {
  const holder = findHolder(store, id);
  return holder?.engine === "mount" && isMountedAtTarget(holder) ? holder : undefined;
}

function nameOf({ container, instance, key }: UseRecord): string {
  return displayName(container ?? instance ?? key);
}

function refuseKinds(record: UseRecord, definition: Instance | undefined): void {
  const refuse = (what: string, hint: string) => {
    throw new VeneerError("IN_MEMORY", `${nameOf(record)} ${what}`, { hint });
  };
  if (record.tmpfs || definition?.tmpfs !== undefined) {
    refuse("keeps its writes in memory, out of reach", "start it without --tmpfs");
  }
  if (record.image) {
    refuse(
      "has the tree of an image above its base (run.veneer.rootfs=layer), which a copy would not have",
      "start it with run.veneer.rootfs=replace",
    );
  }
  if (record.shifted) {
    refuse("has an upper with shifted owners", "start it where layers can be idmapped ('veneer doctor')");
  }
}

/** Of an instance that is made of a container without one: what its start hid stays hidden. */
function definitionOf(
  store: Store,
  { base, version, mask = [] }: UseRecord,
  opaque: readonly string[],
): Instance {
  const ground = readVersion(store, { name: base, version });
  return newDefinition(ground, new Date().toISOString(), { opaque, mask });
}

/** Who is to be stopped; `frozen`: nobody else can write meanwhile. */
function findWriters(record: UseRecord): { first: Members; look: () => Members; frozen: boolean } {
  if (record.engine === "mount") {
    const device = record.overlay?.device;
    if (device === undefined) throw notRunning(record);
    return { ...watchUsers(device), frozen: false };
  }
  const [running] = withProcesses([record]);
  const init = running?.pid === undefined ? undefined : identify(running.pid);
  if (!init || !isRootOf(init.pid, record)) throw notRunning(record);
  const look = () => findMembers(init.pid);
  const first = look();
  return { first, look, frozen: first.freezer !== undefined && first.outside.length === 0 };
}

function notRunning(record: UseRecord): VeneerError {
  return new VeneerError("NOT_RUNNING", `${nameOf(record)} is being started or stopped`, {
    hint: "try again in a moment",
  });
}

async function copyRunning(
  store: Store,
  target: LiveTarget,
  to: string,
  overlay: "all" | "layer",
  pauseLimit: number,
  progress: Progress,
): Promise<PauseReport> {
  const { directory, parts } = uppersOf(store, target);
  const uppers = partUppers(directory, parts);
  using staging = makeStaging(store);
  using interrupt = onInterrupt();
  const single = uppers.length === 1;
  const form = single ? overlay : "all";
  progress.step("copying while it runs");
  const options = { squash: false, omissions: new Omissions(), overlay: form } as const;
  const ready = await copyBeforehand(uppers, `${staging.path}/ready`, interrupt.signal, options);
  const writers = findWriters(target.record);
  const copies = uppers.map((_, index) => `${staging.path}/${index}`);
  progress.step("copying what has changed since");
  const report = await whilePaused(store, target, { ...writers, pauseLimit }, async (pace) => {
    const before = writers.frozen ? undefined : listStill(uppers, pace);
    for (const [index, upper] of uppers.entries()) {
      await copyOverlay(upper, copies[index] as string, form, { pace, ready });
    }
    if (before && !isStill(uppers, before, pace)) throw written(target.record);
  });
  if (!single) {
    const leftovers = new Leftovers();
    mergeUppers(store, copies, leftovers, never);
    leftovers.delete();
  }
  const whole = copies.at(-1) as string;
  if (single || overlay === "all") rename(whole, to);
  else await copyOverlay(whole, to, overlay);
  return report;
}

function written(record: UseRecord): VeneerError {
  return new VeneerError(
    "BUSY",
    `${nameOf(record)} was written to while it was copied, by a process that does not stand still`,
    {
      hint: "nothing was changed: try again, or unmount it or stop it first",
    },
  );
}
