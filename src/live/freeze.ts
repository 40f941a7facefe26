/** Freezes every process of a container for a moment. */
import { VeneerError } from "../errors.ts";
import type { Store } from "../store/paths.ts";
import type { Freezer } from "../sys/cgroup.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, readText, writeFile } from "../sys/fd.ts";
import { signalProcess, stateOf, threadsOf } from "../sys/process/processes.ts";
import { SIGCONT, SIGSTOP } from "../sys/process/signals.ts";
import { identify } from "../sys/process.ts";
import { type CopyIntent, type FreezePlan, publishIntent, type RebaseIntent } from "./journal.ts";
import type { Members } from "./processes.ts";
import type { Guard } from "./watchdog.ts";

/** Milliseconds for all processes to freeze: one in an uninterruptible wait may take longer. */
const FREEZE_TIME = 2000;

/** What {@link freezeAll} will do. Changes nothing. */
export function planFreeze(members: Members): FreezePlan {
  const { freezer, outside } = members;
  return {
    ...(freezer && { freezer }),
    stopped: outside.filter(({ pid }) => !isStopped(pid)),
    frozenBefore: freezer !== undefined && isFrozen(freezer),
  };
}

/**
 * Returns when no process of the container runs any more. Throws after {@link FREEZE_TIME}, or after `limit`
 * milliseconds where that is less, or NOT_RUNNING; the caller thaws the container in any case.
 */
export function freezeAll(plan: FreezePlan, limit = FREEZE_TIME): void {
  const time = Math.min(limit, FREEZE_TIME);
  const end = Date.now() + time;
  for (const process of plan.stopped) signalProcess(process, SIGSTOP);
  const { freezer } = plan;
  if (freezer && !plan.frozenBefore) {
    freeze(freezer);
    for (let count = 0; !isFrozen(freezer); count++) {
      if (Date.now() > end) throw notFrozen(freezer.path, time);
      // most are frozen within microseconds; version 1 may have to be asked again (cgroup-v1/freezer-subsystem)
      if (count > 50) Bun.sleepSync(0.5);
      if (count % 100 === 99 && freezer.kind === "v1") freeze(freezer);
    }
  }
  for (const { pid } of plan.stopped) {
    while (!isStopped(pid)) {
      if (Date.now() > end) throw notFrozen(`process ${pid}`, time);
      Bun.sleepSync(0.2);
    }
  }
}

function notFrozen(what: string, time: number): VeneerError {
  return new VeneerError("NOT_FROZEN", `could not freeze ${what} within ${Math.round(time)} ms`, {
    hint: "a process in it waits for a disk or a file server ('ps' shows state D); nothing was changed: try again later",
  });
}

/**
 * Thaws everything that {@link freezeAll} froze, also for a process of ours that was killed. Idempotent; tries again
 * before it throws.
 */
export function thawAll(plan: FreezePlan): void {
  for (const process of plan.stopped) signalProcess(process, SIGCONT);
  const { freezer } = plan;
  if (!freezer || plan.frozenBefore) return;
  for (let count = 0; ; count++) {
    try {
      thaw(freezer);
      return;
    } catch (error) {
      // the group disappears with its last process
      if (isErrno(error, "ENOENT", "ENODEV")) return;
      if (count === 20) throw error;
      Bun.sleepSync(10);
    }
  }
}

function freeze({ kind, path }: Freezer): void {
  try {
    if (kind === "v1") writeFile(`${path}/freezer.state`, "FROZEN");
    else writeFile(`${path}/cgroup.freeze`, "1");
  } catch (error) {
    // the group disappears with its last process
    if (!isErrno(error, "ENOENT", "ENODEV")) throw error;
    throw new VeneerError("NOT_RUNNING", "the container has ended meanwhile", { cause: error });
  }
}

function thaw({ kind, path }: Freezer): void {
  if (kind === "v1") writeFile(`${path}/freezer.state`, "THAWED");
  else writeFile(`${path}/cgroup.freeze`, "0");
}

function isFrozen({ kind, path }: Freezer): boolean {
  if (kind === "v1") return readText(`${path}/freezer.state`)?.trim() === "FROZEN";
  return /^frozen 1$/m.test(readText(`${path}/cgroup.events`) ?? "");
}

/** Whether every thread is stopped, traced or dead, or the process is gone. */
function isStopped(pid: number): boolean {
  return (
    identify(pid) === undefined ||
    threadsOf(pid).every((thread) => "TtZXx".includes(stateOf(pid, thread) ?? "X"))
  );
}

/** An intent that is published, the locks that hold it, and the guard that thaws the container in need. */
export interface HeldIntent {
  readonly store: Store;
  readonly intent: RebaseIntent | CopyIntent;
  readonly holders: Fd[];
  readonly guard: Guard;
}

/**
 * Freezes processes that `look` finds outside of the group and that are not among `members`: children that were born
 * between the listing and the freeze. The intent and the guard know each before it is stopped. Returns the plan with
 * them. Does not look where all members are in the group, which their children join.
 */
export function stopNewcomers(
  { store, intent, holders, guard }: HeldIntent,
  members: Members,
  look: () => Members,
): FreezePlan {
  let plan = intent.halt;
  if (members.freezer && members.outside.length === 0) return plan;
  const known = new Set(members.pids);
  try {
    for (let count = 0; count < 100; count++) {
      const fresh = look().outside.filter(({ pid }) => !known.has(pid));
      if (fresh.length === 0) return plan;
      plan = { ...plan, stopped: [...plan.stopped, ...fresh] };
      for (const { pid } of fresh) known.add(pid);
      holders.push(publishIntent(store, { ...intent, halt: plan }, true));
      guard.frozen(plan);
      freezeAll({ ...plan, stopped: fresh });
    }
  } catch (error) {
    thawAll(plan);
    throw error;
  }
  thawAll(plan);
  throw new VeneerError("NOT_FROZEN", "the container creates processes faster than they can be stopped", {
    hint: "give it a control group of its own",
  });
}
