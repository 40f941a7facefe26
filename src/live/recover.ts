/**
 * Recovers a container whose live rebase, or copy, was killed: its processes may be frozen, with the new root half in place.
 * The kernel is asked how far the switch got.
 */
import { VeneerError, withContext } from "../errors.ts";
import { lockInstance } from "../store/instances.ts";
import type { Store } from "../store/paths.ts";
import { insideMountNamespace } from "../sys/namespace.ts";
import { ignoreSignals } from "../sys/process/signals.ts";
import { isAlive, lifeOf } from "../sys/process.ts";
import { thawAll } from "./freeze.ts";
import {
  type CopyIntent,
  holdIntent,
  listIntents,
  lockEphemeral,
  type RebaseIntent,
  readIntent,
  removeIntent,
} from "./journal.ts";
import { moveBackDurably } from "./move-changes.ts";
import { finishOrRevert } from "./pivot.ts";
import { revertDocuments } from "./switch-root.ts";

/** `old`, `new`: the root that the container now runs on; `thawed`: it was copied; `gone`: it has ended. */
export type Recovered = "old" | "new" | "thawed" | "gone";

const TOLD = {
  old: "runs on its old root",
  new: "runs on its new root",
  thawed: "continues",
  gone: "has ended",
} as const;

/** The line that a user is shown. */
export function recoveredLine({ record, copy }: RebaseIntent | CopyIntent, result: Recovered): string {
  const name = record.instance ?? record.container ?? record.key;
  return `veneer: a ${copy ? "copy" : "rebase"} of ${name} was killed midway: it ${TOLD[result]}`;
}

/** Recovers every container whose rebase was killed; rebases under way are left alone. Calls `report` for each. */
export function recoverAll(
  store: Store,
  report: (intent: RebaseIntent | CopyIntent, result: Recovered) => void,
  failed: (error: unknown) => void,
): void {
  for (const key of listIntents(store)) {
    try {
      using held = holdIntent(store, key);
      const intent = held && readIntent(store, key);
      if (!intent) continue;
      const id = intent.instance && intent.record.instance;
      using _lock = id === undefined ? lockEphemeral(store, intent.record) : lockInstance(store, id);
      report(intent, recover(store, intent));
    } catch (error) {
      failed(error);
    }
  }
}

/** The same for the container of one record; the caller holds its instance's lock or its ephemeral upper. */
export function recoverOne(store: Store, key: string | undefined): void {
  if (key === undefined) return;
  using held = holdIntent(store, key);
  const intent = held && readIntent(store, key);
  if (intent) recover(store, intent);
}

/** Idempotent. The caller holds the intent, and the instance's lock or the ephemeral upper. */
function recover(store: Store, intent: RebaseIntent | CopyIntent): Recovered {
  if (intent.copy) {
    thawAll(intent.halt);
    removeIntent(store, intent.key);
    return "thawed";
  }
  const { init, halt, record, instance } = intent;
  const name = record.container ?? record.key;
  return withContext(`recover container ${name}, whose rebase was killed`, () => {
    const life = lifeOf(init);
    if (life === "hidden") throw hiddenFrom(record);
    if (life === "gone") {
      // the definition holds, whatever it says: the new part has everything that was written, or nothing
      thawAll(halt);
      removeIntent(store, intent.key);
      return "gone";
    }
    using _signals = ignoreSignals();
    let result: "old" | "new";
    try {
      const device = record.overlay?.device;
      result = insideMountNamespace(init.pid, (proc) => finishOrRevert(intent, proc, device));
      for (const copy of intent.copies ?? []) finishOrRevertCopy(copy, device);
      // before the container continues: what moved is back where its root looks for it
      if (result === "old" && intent.from !== undefined) moveBackDurably(intent.from, `${intent.part}/upper`);
    } finally {
      thawAll(halt);
    }
    if (result === "new") removeIntent(store, intent.key);
    else {
      const id = record.instance;
      revertDocuments(store, intent, instance && id !== undefined ? { id, before: instance } : undefined);
    }
    return result;
  });
}

/** It may be frozen, between two roots: only who sees it can tell. */
function hiddenFrom({ instance, container, key }: RebaseIntent["record"]): VeneerError {
  return new VeneerError("UNKNOWN_PROCESS", "/proc hides its processes from this command (hidepid)", {
    hint: `'veneer rebase ${instance ?? container ?? key} BASE' enters its user namespace; or run it as root`,
  });
}

/** A copy of the root in another namespace: it is in order on either root. */
function finishOrRevertCopy(
  copy: Pick<RebaseIntent, "init" | "root" | "shared">,
  device: string | undefined,
): void {
  if (isAlive(copy.init)) insideMountNamespace(copy.init.pid, (proc) => finishOrRevert(copy, proc, device));
}
