/** A rollout: which members move, in which order and batches, and what an unfinished one left. Pure. */

import type { Entry, MemberKind, Rollout } from "../store/rollouts.ts";

/** Something that stands on a version of the base. */
export interface Member {
  readonly kind: MemberKind;
  readonly id: string;
  readonly version: number;
  readonly state: "running" | "mounted" | "stopped";
}

/** Running members come first: a canary that is stopped proves nothing. */
const ORDER = { running: 0, mounted: 1, stopped: 2 } as const;

const keyOf = ({ kind, id }: Pick<Member, "kind" | "id">) => `${kind} ${id}`;

/**
 * The rollout of `members` onto version `to`: a new one, or the continuation of `unfinished`. What an unfinished one
 * recorded is compared with where each member is now, which may have changed. It replaces an unfinished one onto
 * another version: members that this one moved and did not check still return to where they were before it. `now` is
 * ISO 8601.
 */
export function planRollout(
  to: number,
  members: readonly Member[],
  unfinished: Rollout | undefined,
  now: string,
): Rollout {
  const known = new Map(unfinished?.entries.map((entry) => [keyOf(entry), entry]));
  const same = unfinished?.to === to ? unfinished : undefined;
  const sorted = [...members].sort(
    (a, b) => ORDER[a.state] - ORDER[b.state] || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );
  const entries = sorted.flatMap((member): Entry[] => {
    const { kind, id, version } = member;
    const entry = known.get(keyOf(member));
    if (same) return resumed(member, entry, same);
    if (version === to) return [];
    const unchecked = entry && version === unfinished?.to && entry.state !== "checked" && entry.from !== to;
    return [{ kind, id, from: unchecked ? entry.from : version, state: "planned" }];
  });
  return { to, begun: same?.begun ?? now, phase: same?.phase ?? "forward", entries };
}

function resumed(member: Member, entry: Entry | undefined, { to, phase }: Rollout): Entry[] {
  const { kind, id, version } = member;
  if (phase === "back") {
    // a rollout that reverts moves nobody who was not moved before
    if (!entry) return [];
    return [{ ...entry, state: version === to ? "moved" : version === entry.from ? "back" : "planned" }];
  }
  if (version !== to) return [{ kind, id, from: version, state: "planned" }];
  // it was on the target before, or was moved there by someone else
  if (!entry) return [];
  return [{ ...entry, state: entry.state === "checked" ? "checked" : "moved" }];
}

export interface BatchOptions {
  /** members that are moved and checked before all others */
  readonly canary?: number | undefined;
  /** members at once; absent: all */
  readonly batch?: number | undefined;
  /** moved members are checked */
  readonly checking: boolean;
}

/** What is left to do, in the order of the entries; the canaries, if any, are the first batch. */
export function batches({ entries }: Rollout, { canary = 0, batch, checking }: BatchOptions): Entry[][] {
  const isOpen = ({ state }: Entry) => state === "planned" || (state === "moved" && checking);
  const rest = entries.slice(canary).filter(isOpen);
  const size = batch ?? Math.max(rest.length, 1);
  const chunks = [entries.slice(0, canary).filter(isOpen)];
  for (let at = 0; at < rest.length; at += size) chunks.push(rest.slice(at, at + size));
  return chunks.filter((chunk) => chunk.length > 0);
}

/** The members that a failing check moves back, the last one first. */
export function toTakeBack({ entries }: Rollout): Entry[] {
  return entries.filter(({ state }) => state === "moved" || state === "checked").reverse();
}

/** The rollout with other states of some of its entries, and another phase. */
export function advance(rollout: Rollout, changed: readonly Entry[], phase = rollout.phase): Rollout {
  const states = new Map(changed.map((entry) => [keyOf(entry), entry.state]));
  const entries = rollout.entries.map((entry) => ({
    ...entry,
    state: states.get(keyOf(entry)) ?? entry.state,
  }));
  return { ...rollout, phase, entries };
}
