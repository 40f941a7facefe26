/** One round of updates of a base: a candidate, its check, its rollout, and the result. */
import { diffVersions } from "../bases/diff-versions.ts";
import { formatError, VeneerError } from "../errors.ts";
import { deleteTrash } from "../gc/empty-trash.ts";
import { CHECK_SECONDS, type Policy } from "../inventory/policy.ts";
import { removeBase } from "../inventory/remove-base.ts";
import type { Progress } from "../process/progress.ts";
import { readVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import { failureOf, listVersions, noteFailed, noteSeen, readBaseFile } from "../store/versions.ts";
import { formatBaseRef } from "../text/names.ts";
import { makeCandidate } from "./candidate.ts";
import { asError, expectDone, type OwnProgram, runLimited, runShell, runVerb } from "./own-program.ts";
import { readUpdate, removeUpdate, writeUpdate } from "./state.ts";

/**
 * `updated`: a new version is the current one; `unchanged`: the source gives nothing new; `skipped`: it gives what
 * failed before; `failed`; `interrupted`: the same call continues.
 */
export type UpdateOutcome = "updated" | "unchanged" | "skipped" | "failed" | "interrupted";

export interface UpdateResult {
  readonly base: string;
  readonly outcome: UpdateOutcome;
  /** the current version afterwards */
  readonly version?: number;
  /** the version that failed or was skipped */
  readonly candidate?: number;
  readonly message?: string;
}

export interface Round {
  readonly store: Store;
  readonly name: string;
  readonly policy: Policy;
  readonly own: OwnProgram;
  readonly progress: Progress;
  /** try again what failed before */
  readonly retry: boolean;
}

/**
 * Continues an unfinished round, or begins one. Each step is on disk before it is taken. Runs the policy's command
 * for success or failure at the end. Never throws for a failure in the round itself.
 */
export async function updateBase(round: Round): Promise<UpdateResult> {
  const { name, policy, own } = round;
  const result = await tryRound(round);
  const command =
    result.outcome === "updated"
      ? policy.onSuccess
      : result.outcome === "failed"
        ? policy.onFailure
        : undefined;
  if (command === undefined) return result;
  const about = {
    VENEER_BASE: name,
    VENEER_VERSION: String(result.version ?? ""),
    VENEER_CANDIDATE: String(result.candidate ?? ""),
    VENEER_MESSAGE: result.message ?? "",
  };
  const ended = await runShell(own, command, about);
  if (ended.status === 0) return result;
  const why = `the command for ${result.outcome === "updated" ? "success" : "failure"} failed: ${ended.said}`;
  return { ...result, message: result.message === undefined ? why : `${result.message}; ${why}` };
}

async function tryRound(round: Round): Promise<UpdateResult> {
  const { store, name, own } = round;
  const current = () => {
    const version = readBaseFile(store, name)?.current;
    return version === undefined ? {} : { version };
  };
  // the first version of a base is current at once: there is nothing to return to
  const existed = readBaseFile(store, name) !== undefined;
  let candidate: number | undefined;
  try {
    candidate = unfinished(store, name) ?? (await begin(round));
    if (candidate === undefined) {
      return { base: name, outcome: existed ? "unchanged" : "updated", ...current() };
    }
    const failure = round.retry ? undefined : failureOf(store, name, candidate);
    if (failure) {
      removeUpdate(store, name);
      const message = `${formatBaseRef({ name, version: candidate })} failed before: ${failure.why}`;
      return { base: name, outcome: "skipped", candidate, message, ...current() };
    }
    await prove(round, candidate);
    removeUpdate(store, name);
    const message = await prune(round);
    return { base: name, outcome: "updated", ...current(), ...(message !== undefined && { message }) };
  } catch (error) {
    const message = formatError(error);
    if (own.stop.aborted) return { base: name, outcome: "interrupted", message, ...current() };
    if (candidate !== undefined) {
      if (!failureOf(store, name, candidate)) noteFailed(store, name, candidate, message);
      removeUpdate(store, name);
    }
    return {
      base: name,
      outcome: "failed",
      message,
      ...current(),
      ...(candidate !== undefined && { candidate }),
    };
  }
}

/** The candidate of an unfinished round; undefined where there is none, or it is gone. */
function unfinished(store: Store, name: string): number | undefined {
  const candidate = readUpdate(store, name)?.candidate;
  return candidate !== undefined && listVersions(store, name).includes(candidate) ? candidate : undefined;
}

/**
 * Makes a candidate; undefined where there is nothing new. A tree that failed before is recognized, not kept twice.
 */
async function begin(round: Round): Promise<number | undefined> {
  const { store, name } = round;
  round.progress.step(`${name}: making a candidate`);
  const made = await makeCandidate(round);
  if (made === undefined || readBaseFile(store, name)?.current === made) return undefined;
  if (!round.retry && failureOf(store, name, made)) return made;
  const same = failedBefore(store, name, made);
  if (same !== undefined) {
    const { origin } = readVersion(store, { name, version: made }).manifest;
    noteSeen(store, name, origin, same);
    await deleteTrash(removeBase(store, { name, version: made }));
    if (round.retry)
      writeUpdate(store, name, { candidate: same, checked: false, begun: new Date().toISOString() });
    return same;
  }
  writeUpdate(store, name, { candidate: made, checked: false, begun: new Date().toISOString() });
  return made;
}

/** A failed version that shows the same tree as this one. */
function failedBefore(store: Store, name: string, version: number): number | undefined {
  const made = readVersion(store, { name, version });
  const failed = Object.keys(readBaseFile(store, name)?.failed ?? {}).map(Number);
  return listVersions(store, name)
    .filter((one) => one !== version && failed.includes(one))
    .findLast((one) => diffVersions(store, readVersion(store, { name, version: one }), made).length === 0);
}

/** Seconds after SIGTERM for a check's container: then it is killed, whether its first process heeds signals or not. */
const STOP_TIME = "5";

/** The first process of a container ignores SIGTERM unless it handles it: this one ends at once. */
const UNTIL_TERM = 'trap "exit 143" TERM; sh -c "$1" & wait $!';

/** Runs the checks and the rollout. Throws where the candidate fails one. */
async function prove(round: Round, candidate: number): Promise<void> {
  const { store, name, policy, own, progress } = round;
  const ref = formatBaseRef({ name, version: candidate });
  const { check } = policy;
  if (check && !readUpdate(store, name)?.checked) {
    progress.step(`${name}: checking ${ref} in a container`);
    const inside = ["run", ref, "--stop-time", STOP_TIME, "--", "sh", "-c", UNTIL_TERM, "sh", check.command];
    const ended = await runLimited(own, check.seconds ?? CHECK_SECONDS, inside);
    if (ended.status !== 0) {
      throw new VeneerError("CANDIDATE_FAILED", `check of ${ref} failed (status ${ended.status})`, {
        cause: asError(lastLine(ended)),
      });
    }
    writeUpdate(store, name, { candidate, checked: true, begun: new Date().toISOString() });
  }
  if (policy.rollout === false) {
    expectDone(`use ${ref}`, await runVerb(own, ["base", "use", ref]));
    noteFailed(store, name, candidate, undefined);
    return;
  }
  progress.step(`${name}: rolling ${ref} out`);
  const { canary, batch, pause, check: command, checkTimeout, after, force } = policy.rollout;
  const options = Object.entries({
    canary,
    batch,
    pause,
    check: command,
    "check-timeout": checkTimeout,
    after,
  });
  const words = options.flatMap(([key, value]) => (value === undefined ? [] : [`--${key}`, String(value)]));
  const retry = round.retry ? ["--retry"] : [];
  const forced = force ? ["--force"] : [];
  const ended = await runVerb(own, ["rollout", ref, "--use", "--json", ...words, ...retry, ...forced]);
  const failed = failureOf(store, name, candidate);
  // one that could not be moved for reasons of its own is reported and stays behind, as in any rollout
  if (failed || (ended.status !== 0 && readBaseFile(store, name)?.current !== candidate)) {
    throw new VeneerError("CANDIDATE_FAILED", `rollout of ${ref}`, {
      cause: asError(failed?.why ?? ended.said),
    });
  }
}

function lastLine({ stdout, said }: { stdout: string; said: string }): string {
  return said || (stdout.trim().split("\n").at(-1) ?? "");
}

/** A version that could not be removed is no failure of the round. */
async function prune({ name, policy, own }: Round): Promise<string | undefined> {
  const { keep } = policy;
  if (!keep) return undefined;
  const words = [
    ...(keep.versions === undefined ? [] : ["--keep", String(keep.versions)]),
    ...(keep.olderThan === undefined ? [] : ["--older-than", keep.olderThan]),
  ];
  const { status, said } = await runVerb(own, ["base", "prune", name, ...words]);
  return status === 0 ? undefined : `old versions stay: ${said}`;
}
