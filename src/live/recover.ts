/**
 * Brings a container to order whose live rebase was killed: its processes may stand still, with the new root
 * half in place. The kernel is asked how far it came.
 */
import { during } from "../errors.ts";
import { lockInstance } from "../store/instances.ts";
import type { Store } from "../store/paths.ts";
import { insideMountNamespace } from "../sys/namespace.ts";
import { ignoreSignals } from "../sys/process/signals.ts";
import { isAlive } from "../sys/process.ts";
import { letGo } from "./freeze.ts";
import { holdMoving, listMoving, lockEphemeral, type Moving, readMoving, removeMoving } from "./journal.ts";
import { moveBackDurably } from "./move-changes.ts";
import { settle } from "./pivot.ts";
import { takeBack } from "./switch-root.ts";

/** `old`, `new`: the root on which the container runs on; `gone`: it ended. */
export type Recovered = "old" | "new" | "gone";

const TOLD = { old: "runs on its old root", new: "runs on its new root", gone: "has ended" } as const;

/** What a user is told of it. */
export function recoveredLine({ record }: Moving, result: Recovered): string {
  const name = record.instance ?? record.container ?? record.key;
  return `veneer: a rebase of ${name} was killed midway: it ${TOLD[result]}`;
}

/** Brings all to order that killed rebases left; those under way are left alone. Calls `report` for each. */
export function recoverAll(
  store: Store,
  report: (moving: Moving, result: Recovered) => void,
  failed: (error: unknown) => void,
): void {
  for (const key of listMoving(store)) {
    try {
      using held = holdMoving(store, key);
      const moving = held && readMoving(store, key);
      if (!moving) continue;
      const id = moving.instance && moving.record.instance;
      using _lock = id === undefined ? lockEphemeral(store, moving.record) : lockInstance(store, id);
      report(moving, recover(store, moving));
    } catch (error) {
      failed(error);
    }
  }
}

/** The same for the container of one record; the caller holds its instance's lock or its ephemeral upper. */
export function recoverOne(store: Store, key: string | undefined): void {
  if (key === undefined) return;
  using held = holdMoving(store, key);
  const moving = held && readMoving(store, key);
  if (moving) recover(store, moving);
}

/** Idempotent. The caller holds the intent, and the instance's lock or the ephemeral upper. */
function recover(store: Store, moving: Moving): Recovered {
  const { init, halt, record, instance } = moving;
  const name = record.container ?? record.key;
  return during(`bring container ${name} to order, whose rebase was killed`, () => {
    if (!isAlive(init)) {
      // whatever the definition says holds: the new part has all that was written, or nothing
      letGo(halt);
      removeMoving(store, moving.key);
      return "gone";
    }
    using _signals = ignoreSignals();
    let result: "old" | "new";
    try {
      const device = record.overlay?.device;
      result = insideMountNamespace(init.pid, (proc) => settle(moving, proc, device));
      for (const copy of moving.copies ?? []) settleCopy(copy, device);
      // before it goes on: what went along is back where its root looks for it
      if (result === "old" && moving.from !== undefined) moveBackDurably(moving.from, `${moving.part}/upper`);
    } finally {
      letGo(halt);
    }
    if (result === "new") removeMoving(store, moving.key);
    else {
      const id = record.instance;
      takeBack(store, moving, instance && id !== undefined ? { id, before: instance } : undefined);
    }
    return result;
  });
}

/** A copy of the root in another namespace: on either root it is in order. */
function settleCopy(copy: Pick<Moving, "init" | "root" | "shared">, device: string | undefined): void {
  if (isAlive(copy.init)) insideMountNamespace(copy.init.pid, (proc) => settle(copy, proc, device));
}
