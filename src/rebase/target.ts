/** What a rebase moves: an instance and what runs on it, or a container without an instance. */
import { VeneerError } from "../errors.ts";
import { listRunning } from "../inventory/running.ts";
import { lockEphemeral } from "../live/journal.ts";
import type { LiveTarget } from "../live/rebase.ts";
import { recoverOne } from "../live/recover.ts";
import { lockInstance, noSuchInstance, readInstance } from "../store/instances.ts";
import { isLive } from "../store/mounts/liveness.ts";
import type { Store } from "../store/paths.ts";
import { findHolder, readRecord, type UseRecord } from "../store/records.ts";

/** A target that nobody else changes until it is disposed of. */
export interface HeldTarget extends Disposable {
  readonly target: Partial<LiveTarget>;
}

/**
 * Locks what is to be rebased (the instance, or the ephemeral upper of a container without one), and recovers it
 * where an earlier rebase was killed. Throws BUSY when another process holds the lock, and where there is neither
 * instance nor container.
 */
export function holdTarget(store: Store, id: string): HeldTarget {
  const instance = lockInstance(store, id);
  const unnamed = instance ? undefined : findTarget(store, id).record;
  const lock = instance ?? (unnamed && lockEphemeral(store, unnamed));
  try {
    const key = unnamed ? unnamed.key : findHolder(store, id)?.key;
    recoverOne(store, key);
    return { target: targetNow(store, id, unnamed), [Symbol.dispose]: () => lock?.[Symbol.dispose]() };
  } catch (error) {
    lock?.[Symbol.dispose]();
    throw error;
  }
}

/** A rebase that ended before this one took the lock has changed the record. */
function targetNow(store: Store, id: string, unnamed: UseRecord | undefined): Partial<LiveTarget> {
  if (!unnamed) return findTarget(store, id);
  const record = readRecord(store, unnamed.key);
  if (!record) throw noSuchInstance(store, id);
  return { record };
}

/** A named instance and what runs on it, or a container without one; throws where there is neither. */
export function findTarget(store: Store, id: string): Partial<LiveTarget> {
  const definition = readInstance(store, id);
  if (definition) {
    const record = liveHolder(store, id);
    return { instance: { id, definition }, ...(record && { record }) };
  }
  const isWanted = (record: UseRecord) => record.engine !== "mount" && isNamed(record, id);
  const running = listRunning(store, undefined, isWanted);
  if (running.length > 1) {
    throw new VeneerError("AMBIGUOUS", `${running.length} running containers are called ${id}`, {
      hint: "give it an instance's name of its own (run.veneer.instance)",
    });
  }
  const [one] = running;
  if (!one) throw noSuchInstance(store, id);
  return { record: one.record };
}

function isNamed({ instance, container }: UseRecord, id: string): boolean {
  return instance === id || (instance === undefined && container === id);
}

/** The record of the container that runs on an instance; undefined for an instance that is mounted by hand. */
export function liveHolder(store: Store, id: string): UseRecord | undefined {
  const holder = findHolder(store, id);
  return holder && holder.engine !== "mount" && isLive(holder) ? holder : undefined;
}
