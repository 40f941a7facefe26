/** What a rollout does to each member, in the administrator's log. */
import { exitStatus } from "../errors.ts";
import { type LogEvent, logEvent } from "../report/event-log.ts";
import type { Settings } from "../request/config.ts";
import type { Entry, Rollout } from "../store/rollouts.ts";
import { formatBaseRef } from "../text/names.ts";

interface Work {
  readonly settings: Settings;
  /** name of the base that is rolled out */
  readonly base: string;
  readonly rollout: Rollout;
}

/** A move from one version to another (`NAME@V`), or with `error` that it failed. */
export function tellMove(
  work: Work,
  entry: Entry,
  { from, to }: { readonly from: string; readonly to: string },
  error?: unknown,
): void {
  const status = error === undefined ? 0 : exitStatus(error);
  tell(work, entry, { event: "rebase", from, base: to, status, error });
}

/** A check that failed. */
export function tellCheck(work: Work, entry: Entry, message: string): void {
  tell(work, entry, { event: "check", base: targetOf(work), status: 1, message });
}

function tell(work: Work, { kind, id }: Entry, event: LogEvent): void {
  const member = kind === "instance" ? { instance: id } : { container: id };
  const rollout = `${targetOf(work)}/${work.rollout.begun}`;
  logEvent(work.settings.config, { ...event, ...member, rollout });
}

function targetOf({ base, rollout }: Work): string {
  return formatBaseRef({ name: base, version: rollout.to });
}
