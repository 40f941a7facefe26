/** Moves, checks and reverts one member of a rollout at a time. */
import { causes, formatError, VeneerError } from "../errors.ts";
import { listRunning, type Running } from "../inventory/running.ts";
import type { Blocker } from "../live/file-blockers.ts";
import type { StaleUse } from "../live/find-stale.ts";
import { inParallel } from "../process/parallel.ts";
import type { Progress } from "../process/progress.ts";
import type { Conflict } from "../rebase/conflicts.ts";
import { type RebaseResult, rebase } from "../rebase/generations.ts";
import type { Settings } from "../request/config.ts";
import type { Entry, MemberKind, Rollout } from "../store/rollouts.ts";
import { formatBaseRef } from "../text/names.ts";
import { type Check, runCheck } from "./check.ts";
import { tellCheck, tellMove } from "./events.ts";

/**
 * `planned`: not moved; `moved`, `checked`: on the version; `failed`: could not be moved, and is unchanged;
 * `refused`: on the version, but its check failed; `back`: where it was before; `stuck`: could not be moved back;
 * `gone`: ended or was removed meanwhile.
 */
export type RowState = "planned" | "moved" | "checked" | "failed" | "refused" | "back" | "stuck" | "gone";

/** What happened to a member. */
export interface Row {
  readonly kind: MemberKind;
  readonly id: string;
  readonly from: string;
  readonly to: string;
  state: RowState;
  /** where it hides the version */
  conflicts: readonly Conflict[];
  /** milliseconds that its last move paused it, where it runs */
  pause?: number;
  /** what it still uses of the former version */
  stale: readonly StaleUse[];
  /** for a dry run, the open files that block the move; otherwise those that were ignored */
  blockers: readonly Blocker[];
  /** why its changes stay in its old upper */
  stays?: string | undefined;
  message?: string;
  /** why its check failed, wherever it is by now */
  failure?: string;
}

export interface Surroundings {
  readonly progress: Progress;
  /** aborted when the user wants the rollout to end */
  readonly stop: AbortSignal;
}

export interface Job extends Surroundings {
  readonly settings: Settings;
  readonly base: string;
  /** move running members in spite of open files that block it */
  readonly force: boolean;
  /** milliseconds for which a container may be paused */
  readonly pauseLimit?: number | undefined;
  /** as it is on disk */
  rollout: Rollout;
  readonly rows: ReadonlyMap<string, Row>;
}

const key = ({ kind, id }: Pick<Entry, "kind" | "id">) => `${kind} ${id}`;

const NOTHING = { conflicts: [], stale: [], blockers: [] } as const;

export function makeRows(base: string, { to, entries }: Rollout): Map<string, Row> {
  return new Map(
    entries.map((entry): [string, Row] => {
      const { kind, id, state } = entry;
      const ref = (version: number) => formatBaseRef({ name: base, version });
      return [key(entry), { kind, id, from: ref(entry.from), to: ref(to), state, ...NOTHING }];
    }),
  );
}

function rowOf(job: Job, entry: Entry): Row {
  return job.rows.get(key(entry)) as Row;
}

/** Finds what a move would hide; changes nothing. */
export function tryMove(job: Job, entry: Entry): void {
  const row = rowOf(job, entry);
  try {
    note(row, move(job, entry, job.rollout.to, true));
  } catch (error) {
    Object.assign(row, { state: "failed", message: formatError(error) });
  }
}

/** Moves a member onto the version. Returns its new entry; undefined when it could not be moved. */
export async function moveForward(job: Job, entry: Entry): Promise<Entry | undefined> {
  const row = rowOf(job, entry);
  try {
    note(row, await retryWhileBusy(() => move(job, entry, job.rollout.to)));
    row.state = "moved";
    tellMove(job, entry, row);
    return { ...entry, state: "moved" };
  } catch (error) {
    const gone = hasCode(error, "NO_INSTANCE");
    if (!gone) tellMove(job, entry, row, error);
    Object.assign(row, { state: gone ? "gone" : "failed", message: formatError(error) });
    return undefined;
  }
}

/** Moves a member back to where it was, with what it has changed since. Returns undefined when that failed. */
export async function moveBack(job: Job, entry: Entry): Promise<Entry | undefined> {
  const row = rowOf(job, entry);
  try {
    const { conflicts: _, ...live } = facts(await retryWhileBusy(() => move(job, entry, entry.from)));
    Object.assign(row, { state: "back", ...live });
    tellMove(job, entry, { from: row.to, to: row.from });
    return { ...entry, state: "back" };
  } catch (error) {
    if (hasCode(error, "NO_INSTANCE")) {
      row.state = "gone";
      return { ...entry, state: "back" };
    }
    tellMove(job, entry, { from: row.to, to: row.from }, error);
    const why = formatError(error);
    const message = row.message === undefined ? why : `${row.message}; back: ${why}`;
    Object.assign(row, { state: "stuck", message });
    return undefined;
  }
}

function move(
  { settings, base: name, force, pauseLimit }: Job,
  { id }: Entry,
  version: number,
  dryRun = false,
) {
  return rebase(settings, id, { name, version }, { dryRun, force, pauseLimit });
}

function note(row: Row, result: RebaseResult): void {
  Object.assign(row, facts(result));
}

function facts({ conflicts, live, outlook }: RebaseResult) {
  return {
    conflicts,
    ...(live && { pause: live.pause }),
    stale: (live ?? outlook)?.stale ?? [],
    blockers: (live ?? outlook)?.blockers ?? [],
    stays: (live ?? outlook)?.stays,
  };
}

function hasCode(error: unknown, code: string): boolean {
  return [...causes(error)].some((frame) => frame instanceof VeneerError && frame.code === code);
}

/** Milliseconds before the second and the third attempt: a start holds the instance's lock for less. */
const PATIENCE = [100, 300];

async function retryWhileBusy<T>(action: () => T): Promise<T> {
  for (const pause of PATIENCE) {
    try {
      return action();
    } catch (error) {
      if (!hasCode(error, "BUSY")) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return action();
}

/** Checks that run at once. */
const CHECKS = 8;

/**
 * Checks those of the entries that run or are mounted. Returns the entries that passed and how many failed; those
 * that `stop` cut off count as neither.
 */
export async function checkAll(
  job: Job,
  check: Check,
  entries: readonly Entry[],
): Promise<{ passed: Entry[]; failures: number }> {
  const running = listRunning(job.settings.store);
  const passed: Entry[] = [];
  let failures = 0;
  await inParallel(CHECKS, entries, async (entry) => {
    const found = running.find((one) => isOn(entry, one));
    const row = rowOf(job, entry);
    if (!found) {
      row.message = "not running: not checked";
      return;
    }
    if (job.stop.aborted) return;
    const why = await runCheck(check, variables(job, entry, found), job.stop);
    if (why === undefined) {
      row.state = "checked";
      passed.push({ ...entry, state: "checked" });
    } else if (!job.stop.aborted) {
      Object.assign(row, { state: "refused", message: why, failure: why });
      tellCheck(job, entry, why);
      failures++;
    }
  });
  return { passed, failures };
}

/**
 * Runs a command for each entry that has processes of the former version, so that it can restart them: `VENEER_STALE`
 * holds their ids. A failure is reported with the member, and stops nothing.
 */
export async function runAfter(job: Job, after: Check, entries: readonly Entry[]): Promise<void> {
  const running = listRunning(job.settings.store);
  for (const entry of entries) {
    const row = rowOf(job, entry);
    const found = running.find((one) => isOn(entry, one));
    const pids = [...new Set(row.stale.map(({ pid }) => pid))];
    if (!found || pids.length === 0 || job.stop.aborted) continue;
    job.progress.step(`after ${entry.id}`);
    const about = { ...variables(job, entry, found), VENEER_STALE: pids.join(" ") };
    const why = await runCheck(after, about, job.stop, "command after the move");
    if (why !== undefined) row.message = row.message === undefined ? why : `${row.message}; ${why}`;
  }
}

/** The name of a container that has no instance of its own. */
export function nameOf({ instance, container }: Running["record"]): string | undefined {
  return instance ?? container;
}

function isOn({ kind, id }: Entry, { record }: Running): boolean {
  return kind === "instance" ? record.instance === id : nameOf(record) === id;
}

/** The environment of a check. The variables of the store are those that veneer itself reads. */
function variables({ settings, base, rollout }: Job, entry: Entry, { record, pid }: Running) {
  const root =
    record.engine === "mount" ? record.target : pid === undefined ? undefined : `/proc/${pid}/root`;
  return {
    VENEER_ROOT: settings.store.root,
    VENEER_RUN: settings.store.run,
    VENEER_INSTANCE: entry.kind === "instance" ? entry.id : "",
    VENEER_CONTAINER: record.container ?? "",
    VENEER_ENGINE: record.engine,
    VENEER_PID: pid === undefined ? "" : String(pid),
    VENEER_ROOTFS: root ?? "",
    VENEER_BASE: base,
    VENEER_VERSION: String(rollout.to),
    VENEER_FROM: String(entry.from),
  };
}
