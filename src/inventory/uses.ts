/** Who uses a version: checked by `base rm`, shown by `base log`. */

import { listInstances, readInstance } from "../store/instances.ts";
import type { Store } from "../store/paths.ts";
import { listRecords, type UseRecord } from "../store/records.ts";
import { allRollouts } from "../store/rollouts.ts";
import { allSessions, isLeft } from "../store/sessions.ts";
import { allShares } from "../store/shares.ts";
import { allVersions } from "../store/versions.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { formerRootsInUse } from "./former-roots.ts";
import { makeLiveTest } from "./mounted.ts";

export interface Use {
  readonly base: string;
  readonly version: number;
  readonly kind: "instance" | "container" | "mount" | "session" | "rollout" | "share" | "base";
  /** `instance web1`, `container 4f2a (oci)`, `base apps@1` */
  readonly who: string;
  /** for a base that uses another: which one */
  readonly user?: BaseRef;
}

/** Lists all uses of all bases or of one. Records of containers that are gone do not count. */
export function listUses(store: Store, base?: string): Use[] {
  const uses = [
    ...instanceUses(store),
    ...recordUses(store, base),
    ...sessionUses(store),
    ...rolloutUses(store),
    ...shareUses(store),
    ...baseUses(store),
  ];
  return base === undefined ? uses : uses.filter((use) => use.base === base);
}

function* instanceUses(store: Store): Generator<Use> {
  for (const id of listInstances(store)) {
    const instance = readInstance(store, id);
    if (!instance) continue;
    for (const { base, version, generation } of [instance, ...(instance.kept ?? [])]) {
      const kept = generation === instance.generation ? "" : ` (generation ${generation}, kept)`;
      yield { base, version, kind: "instance", who: `instance ${id}${kept}` };
    }
  }
}

function* recordUses(store: Store, base: string | undefined): Generator<Use> {
  const { isLive, isInUse } = makeLiveTest();
  for (const record of listRecords(store)) {
    // after a live rebase, processes of the container may still use the former version
    for (const left of formerRootsInUse(record, isInUse)) {
      const who = `processes of ${describeRecord(record)} that need a restart`;
      yield { base: left.base, version: left.version, kind: "container", who };
    }
    if ((base !== undefined && record.base !== base) || !isLive(record)) continue;
    const kind = record.engine === "mount" ? "mount" : "container";
    yield { base: record.base, version: record.version, kind, who: describeRecord(record) };
  }
}

function describeRecord(record: UseRecord): string {
  if (record.engine === "mount") return `mount ${record.target}`;
  return `container ${record.container ?? record.key} (${record.engine})`;
}

function* sessionUses(store: Store): Generator<Use> {
  for (const [base, session] of allSessions(store)) {
    if (isLeft(store, base, session)) continue;
    const { version, created } = session;
    yield { base, version, kind: "session", who: `the editing session opened ${created}` };
  }
}

/** The versions to which an unfinished rollout may still move its members, forward or back. */
function* rolloutUses(store: Store): Generator<Use> {
  for (const [base, { to, begun, entries }] of allRollouts(store)) {
    for (const version of new Set([to, ...entries.map(({ from }) => from)])) {
      yield { base, version, kind: "rollout", who: `the rollout begun ${begun}` };
    }
  }
}

function* shareUses(store: Store): Generator<Use> {
  for (const [base, { versions }] of allShares(store)) {
    for (const version of Object.keys(versions).map(Number)) {
      yield { base, version, kind: "share", who: "users that it is shared with ('veneer base unshare')" };
    }
  }
}

/** Bases that were created on a version of another base. */
function* baseUses(store: Store): Generator<Use> {
  for (const { name, version, manifest } of allVersions(store)) {
    const { from } = manifest;
    if (from)
      yield {
        base: from.name,
        version: from.version,
        kind: "base",
        who: `base ${formatBaseRef({ name, version })}`,
        user: { name, version },
      };
  }
}
