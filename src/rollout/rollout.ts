/** Moves everything that stands on a base onto one of its versions, in batches, and back when a check fails. */
import { setTimeout } from "node:timers/promises";
import { VeneerError } from "../errors.ts";
import { listRunning } from "../inventory/running.ts";
import { viewInstances } from "../inventory/view.ts";
import { yieldToSignals } from "../process/interrupt.ts";
import type { Settings } from "../request/config.ts";
import { readVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import { type Entry, lockRollout, readRollout, removeRollout, writeRollout } from "../store/rollouts.ts";
import { changeBase, failureOf, noteFailed, setCurrent } from "../store/versions.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import type { Check } from "./check.ts";
import {
  checkAll,
  type Job,
  makeRows,
  moveBack,
  moveForward,
  nameOf,
  type Row,
  runAfter,
  type Surroundings,
  tryMove,
} from "./member.ts";
import { advance, batches, type Member, planRollout, toTakeBack } from "./plan.ts";
import { beginWay, type Way } from "./way.ts";

export interface RolloutOptions {
  /** without a version: onto the current one */
  readonly ref: BaseRef;
  readonly canary?: number | undefined;
  readonly batch?: number | undefined;
  readonly check?: Check | undefined;
  /** run on the host for each moved member that has processes of the former version */
  readonly after?: Check | undefined;
  /** seconds between two batches */
  readonly pause?: number | undefined;
  /** make the version the current one when all has gone well */
  readonly use?: boolean;
  /** try a version again whose check failed before */
  readonly retry?: boolean;
  /** move everything back when a check fails */
  readonly rollback: boolean;
  /** move back what an unfinished rollout moved, and nothing else */
  readonly back: boolean;
  /** move running members in spite of open files that block it */
  readonly force: boolean;
  /** milliseconds for which a container may be paused */
  readonly pauseLimit?: number | undefined;
  readonly dryRun: boolean;
}

/**
 * `nothing`: there was nothing to do; `planned`: a dry run; `done`: all are on the version; `incomplete`: some could
 * not be moved; `stopped`: a check failed and nothing was moved back, or no canary could be moved; `back`: all were
 * moved back, or some are stuck; `interrupted`: by a signal.
 */
export type Outcome = "nothing" | "planned" | "done" | "incomplete" | "stopped" | "back" | "interrupted";

export interface RolloutResult {
  readonly base: string;
  readonly to: string;
  readonly outcome: Outcome;
  readonly rows: readonly Row[];
  /** an unfinished rollout onto another version, which this one replaced */
  readonly superseded?: string;
}

/**
 * Moves every instance of a base that is on another version, or continues an unfinished rollout. Each step is on disk
 * before it is taken: after a kill or an interruption at any point the same call continues. Throws where there is no
 * such version, and when another process rolls the base out.
 */
export async function rollOut(
  settings: Settings,
  options: RolloutOptions,
  surroundings: Surroundings,
): Promise<RolloutResult> {
  const { store } = settings;
  const { name, version } = readVersion(store, options.ref);
  using _lock = options.dryRun ? undefined : lockRollout(store, name);
  const unfinished = readRollout(store, name);
  if (options.back && !unfinished) {
    if (!options.dryRun) removeRollout(store, name);
    throw nothingToTakeBack(name);
  }
  const to = options.back && unfinished ? unfinished.to : version;
  const planned = planRollout(to, findMembers(store, name), unfinished, new Date().toISOString());
  const rollout = options.back ? advance(planned, [], "back") : planned;
  const rows = makeRows(name, rollout);
  const { force, pauseLimit } = options;
  const job: Job = { ...surroundings, settings, base: name, force, pauseLimit, rollout, rows };
  if (!options.dryRun && !options.back) refuseFailed(store, name, to, options);
  // awaited here, since the lock goes with this scope
  const outcome = await carryOut(job, options);
  if (!options.dryRun && !options.back) settle(job, options, outcome);
  const ref = (number: number) => formatBaseRef({ name, version: number });
  const result = { base: name, to: ref(to), outcome, rows: [...job.rows.values()] };
  return unfinished && unfinished.to !== to ? { ...result, superseded: ref(unfinished.to) } : result;
}

function refuseFailed(store: Store, name: string, version: number, { use, retry }: RolloutOptions): void {
  const failure = use ? failureOf(store, name, version) : undefined;
  if (!failure || retry) return;
  const ref = formatBaseRef({ name, version });
  throw new VeneerError("FAILED_BEFORE", `${ref} failed its check at ${failure.at}: ${failure.why}`, {
    hint: "--retry tries it again",
  });
}

/** Records what a rollout has proved of the version: it becomes the current one, or is remembered as failed. */
function settle(
  { settings, base, rollout, rows }: Job,
  { use, check }: RolloutOptions,
  outcome: Outcome,
): void {
  const { store } = settings;
  const { to } = rollout;
  const refused = [...rows.values()].filter(({ failure }) => failure !== undefined);
  const [first] = refused;
  if (first && (outcome === "back" || outcome === "stopped")) {
    noteFailed(store, base, to, `${first.id}: ${first.failure}`);
    return;
  }
  if (outcome !== "done" && outcome !== "nothing") return;
  if (check || use) noteFailed(store, base, to, undefined);
  if (!use) return;
  using lock = changeBase(store, base);
  if (!lock) throw new VeneerError("NO_BASE", `base ${base} is gone`);
  setCurrent(store, base, to);
}

function nothingToTakeBack(name: string): VeneerError {
  return new VeneerError("NO_ROLLOUT", `base ${name} has no unfinished rollout`, {
    hint: `'veneer rollout ${name}@VERSION' moves all to any version, an older one too`,
  });
}

/** Damaged instances are left out, since their base is unknown. */
function findMembers(store: Store, name: string): Member[] {
  const instances = viewInstances(store);
  const named = instances.flatMap(({ id, state, instance }): Member[] => {
    if (instance?.base !== name || state === "damaged") return [];
    return [
      { kind: "instance", id, version: instance.version, state: state === "in-use" ? "stopped" : state },
    ];
  });
  const ids = new Set(instances.map(({ id }) => id));
  const containers = new Map<string, Member>();
  for (const { record } of listRunning(store)) {
    const id = nameOf(record);
    if (record.engine === "mount" || record.base !== name || id === undefined) continue;
    const { version } = record;
    if (record.instance === undefined || !ids.has(id))
      containers.set(id, { kind: "container", id, version, state: "running" });
  }
  return [...named, ...containers.values()];
}

function carryOut(job: Job, options: RolloutOptions): Promise<Outcome> | Outcome {
  const { store } = job.settings;
  if (options.dryRun) {
    for (const entry of job.rollout.entries) if (entry.state === "planned") tryMove(job, entry);
    return job.rollout.entries.length === 0 ? "nothing" : "planned";
  }
  if (job.rollout.phase === "back") return revertMoved(job);
  if (job.rollout.entries.length === 0) {
    removeRollout(store, job.base);
    return "nothing";
  }
  return goForward(job, options);
}

/** Publishes what has been done, before the next step. */
function save(job: Job, changed: readonly Entry[], phase = job.rollout.phase): void {
  job.rollout = advance(job.rollout, changed, phase);
  writeRollout(job.settings.store, job.base, job.rollout);
}

async function goForward(job: Job, options: RolloutOptions): Promise<Outcome> {
  const { check, canary = 0 } = options;
  const all = batches(job.rollout, { ...options, checking: check !== undefined });
  const way = beginWay(all.flat().length);
  const canaries = new Set(job.rollout.entries.slice(0, canary).map(({ id }) => id));
  save(job, []);
  for (const [index, batch] of all.entries()) {
    const moved = await moveBatch(job, batch, `batch ${index + 1} of ${all.length}`, way);
    save(job, moved);
    if (check && !job.stop.aborted) {
      job.progress.step(`checking ${moved.length}`, way.share);
      const { passed, failures } = await checkAll(job, check, moved);
      save(job, passed);
      if (failures > 0) return options.rollback ? revertMoved(job) : "stopped";
    }
    if (options.after && !job.stop.aborted) await runAfter(job, options.after, moved);
    if (job.stop.aborted && isUnfinished(job, options)) return "interrupted";
    if (options.pause !== undefined && index + 1 < all.length) {
      job.progress.step(`waiting ${options.pause} s before the next batch`, way.share);
      await waitFor(options.pause, job.stop);
      if (job.stop.aborted) return "interrupted";
    }
    if (moved.length === 0 && batch.every(({ id }) => canaries.has(id))) return "stopped";
  }
  removeRollout(job.settings.store, job.base);
  return [...job.rows.values()].some(({ state }) => state === "failed") ? "incomplete" : "done";
}

/** Ends early when `stop` is aborted. */
async function waitFor(seconds: number, stop: AbortSignal): Promise<void> {
  await setTimeout(seconds * 1000, undefined, { signal: stop }).catch(() => {});
}

function isUnfinished(job: Job, { check }: RolloutOptions): boolean {
  return batches(job.rollout, { checking: check !== undefined }).length > 0;
}

/** Returns the entries of the batch that are on the version now. */
async function moveBatch(job: Job, batch: readonly Entry[], label: string, way: Way): Promise<Entry[]> {
  const there: Entry[] = [];
  for (const [index, entry] of batch.entries()) {
    if (job.stop.aborted) break;
    if (entry.state === "planned")
      job.progress.step(`${label}: moving ${entry.id}, ${index + 1} of ${batch.length}`, way.share);
    const moved = entry.state === "planned" ? await moveForward(job, entry) : entry;
    if (moved) there.push(moved);
    way.gone++;
    await yieldToSignals();
  }
  return there;
}

/** Moves back all that this rollout moved, also before an interruption. */
async function revertMoved(job: Job): Promise<Outcome> {
  save(job, [], "back");
  const all = toTakeBack(job.rollout);
  const way = beginWay(all.length);
  for (const [index, entry] of all.entries()) {
    if (job.stop.aborted) return "interrupted";
    job.progress.step(`moving ${entry.id} back, ${index + 1} of ${all.length}`, way.share);
    const back = await moveBack(job, entry);
    if (back) save(job, [back]);
    way.gone++;
    await yieldToSignals();
  }
  if (![...job.rows.values()].some(({ state }) => state === "stuck"))
    removeRollout(job.settings.store, job.base);
  return "back";
}
