import { describe, expect, it } from "vitest";
import { advance, batches, type Member, planRollout, toTakeBack } from "../../../src/rollout/plan.ts";
import type { Entry, Rollout } from "../../../src/store/rollouts.ts";

const member = (id: string, version: number, state: Member["state"] = "running"): Member => ({
  kind: "instance",
  id,
  version,
  state,
});
const entry = (id: string, from: number, state: Entry["state"] = "planned"): Entry => ({
  kind: "instance",
  id,
  from,
  state,
});
const rollout = (to: number, entries: Entry[], phase: Rollout["phase"] = "forward"): Rollout => ({
  to,
  begun: "t1",
  phase,
  entries,
});
const plan = (to: number, members: Member[], unfinished?: Rollout) =>
  planRollout(to, members, unfinished, "t2");

describe("a new rollout", () => {
  it("moves all that are on another version, older or newer", () => {
    expect(plan(2, [member("a", 1), member("b", 2), member("c", 3)])).toEqual({
      to: 2,
      begun: "t2",
      phase: "forward",
      entries: [entry("a", 1), entry("c", 3)],
    });
  });

  it("begins with what runs, then what is mounted, each by name", () => {
    const members = [
      member("a", 1, "stopped"),
      member("b", 1, "mounted"),
      member("d", 1, "running"),
      member("c", 1, "running"),
    ];
    expect(plan(2, members).entries.map(({ id }) => id)).toEqual(["c", "d", "b", "a"]);
  });

  it("has nothing to do where all are there", () => {
    expect(plan(2, [member("a", 2)]).entries).toEqual([]);
  });

  it("tells an instance from a container of the same name", () => {
    const members: Member[] = [member("a", 1), { ...member("a", 1), kind: "container" }];
    const unfinished = rollout(2, [entry("a", 1, "checked")]);
    const { entries } = plan(2, [{ ...members[0], version: 2 } as Member, members[1] as Member], unfinished);
    expect(entries).toEqual([entry("a", 1, "checked"), { ...entry("a", 1), kind: "container" }]);
  });
});

describe("an unfinished rollout", () => {
  it("goes on with what is not moved, and checks what was moved but not checked", () => {
    const unfinished = rollout(2, [
      entry("a", 1, "checked"),
      entry("b", 1, "moved"),
      entry("c", 1),
      entry("d", 1),
    ]);
    // c was moved, and the process killed before it could say so
    const members = [member("a", 2), member("b", 2), member("c", 2), member("d", 1)];
    const resumed = plan(2, members, unfinished);
    expect(resumed.begun).toBe("t1");
    expect(resumed.entries).toEqual([
      entry("a", 1, "checked"),
      entry("b", 1, "moved"),
      entry("c", 1, "moved"),
      entry("d", 1),
    ]);
  });

  it("takes in what came later, leaves out what is gone, and follows what was moved by hand", () => {
    const unfinished = rollout(3, [entry("a", 1), entry("b", 1, "moved"), entry("gone", 1)]);
    const members = [member("a", 2), member("b", 1), member("new", 2), member("there", 3)];
    expect(plan(3, members, unfinished).entries).toEqual([entry("a", 2), entry("b", 1), entry("new", 2)]);
  });

  it("that goes back moves nobody forward", () => {
    const unfinished = rollout(2, [entry("a", 1, "moved"), entry("b", 1, "back"), entry("c", 1)], "back");
    const members = [member("a", 2), member("b", 1), member("c", 1), member("new", 1)];
    const resumed = plan(2, members, unfinished);
    expect(resumed.phase).toBe("back");
    expect(toTakeBack(resumed).map(({ id }) => id)).toEqual(["a"]);
  });

  it("gives way to one onto another version, which takes what was not checked back to where it was", () => {
    const unfinished = rollout(2, [entry("a", 1, "checked"), entry("b", 1, "moved"), entry("c", 1)], "back");
    const members = [member("a", 2), member("b", 2), member("c", 1)];
    expect(plan(3, members, unfinished)).toEqual({
      to: 3,
      begun: "t2",
      phase: "forward",
      entries: [entry("a", 2), entry("b", 1), entry("c", 1)],
    });
    // back onto the very version that it came from
    expect(plan(1, members, unfinished).entries).toEqual([entry("a", 2), entry("b", 2)]);
  });
});

describe("batches", () => {
  const five = rollout(
    2,
    ["a", "b", "c", "d", "e"].map((id) => entry(id, 1)),
  );
  const ids = (all: Entry[][]) => all.map((batch) => batch.map(({ id }) => id).join(""));

  it.each([
    ["all at once", {}, ["abcde"]],
    ["of a size", { batch: 2 }, ["ab", "cd", "e"]],
    ["after canaries", { canary: 1, batch: 3 }, ["a", "bcd", "e"]],
    ["canaries, then all others", { canary: 2 }, ["ab", "cde"]],
    ["more canaries than members", { canary: 9, batch: 1 }, ["abcde"]],
  ])("%s", (_, wishes, wanted) => {
    expect(ids(batches(five, { ...wishes, checking: false }))).toEqual(wanted);
  });

  it("hold what is moved only where it is to be checked", () => {
    const resumed = advance(five, [entry("a", 1, "checked"), entry("b", 1, "moved")]);
    expect(ids(batches(resumed, { canary: 2, batch: 2, checking: true }))).toEqual(["b", "cd", "e"]);
    expect(ids(batches(resumed, { canary: 2, batch: 2, checking: false }))).toEqual(["cd", "e"]);
    expect(batches(rollout(2, []), { checking: true })).toEqual([]);
  });
});

describe("taking back", () => {
  it("takes the last moved first, and not what was never moved", () => {
    const all = rollout(2, [
      entry("a", 1, "checked"),
      entry("b", 1, "moved"),
      entry("c", 1),
      entry("d", 1, "back"),
    ]);
    expect(toTakeBack(all).map(({ id }) => id)).toEqual(["b", "a"]);
    const after = advance(all, [entry("b", 1, "back")], "back");
    expect([after.phase, toTakeBack(after).map(({ id }) => id)]).toEqual(["back", ["a"]]);
  });
});
