import { describe, expect, it } from "vitest";
import {
  cutOver,
  dropGeneration,
  fallBack,
  findPrepared,
  onPart,
  prepare,
  rebased,
  unfolded,
  withoutParts,
} from "../../../src/instances/generations.ts";
import type { Instance } from "../../../src/store/instances.ts";

const first: Instance = {
  base: "debian",
  version: 1,
  digest: "d1",
  generation: 1,
  since: "t1",
  created: "t1",
  opaque: ["/tmp"],
  mask: ["/etc/machine-id"],
};
const ground = (version: number) => ({ base: "debian", version, digest: `d${version}` });
const second = cutOver(first, ground(2), "t2");

describe("a cutover", () => {
  it("makes the next generation and keeps the one before as it was", () => {
    expect(second).toEqual({
      ...first,
      version: 2,
      digest: "d2",
      generation: 2,
      previous: 1,
      since: "t2",
      kept: [{ base: "debian", version: 1, digest: "d1", generation: 1, since: "t1" }],
    });
  });

  it("never uses a number again", () => {
    const third = cutOver(fallBack("web1", second), ground(3), "t3");
    expect([third.generation, third.previous]).toEqual([3, 1]);
    expect(third.kept?.map(({ generation }) => generation)).toEqual([1, 2]);
  });
});

describe("a prepared generation", () => {
  const { instance, generation } = prepare(first, ground(2), "t2");
  const waiting = { base: "debian", version: 2, digest: "d2", generation: 2, since: "t2", prepared: true };

  it("waits beside the one in use", () => {
    expect(generation).toBe(2);
    expect(instance).toEqual({ ...first, kept: [waiting] });
    expect(findPrepared(instance, ground(2))).toEqual(waiting);
    expect(findPrepared(instance, { ...ground(2), digest: "another" })).toBeUndefined();
  });

  it("is where a cutover onto its version leads, and a fallback to it", () => {
    expect(cutOver(instance, ground(2), "later")).toEqual(second);
    expect(fallBack("web1", instance, 2)).toEqual(second);
  });

  it("is passed by a cutover onto another version", () => {
    const third = cutOver(instance, ground(3), "t3");
    expect([third.generation, third.version]).toEqual([3, 3]);
    expect(findPrepared(third, ground(2))).toEqual(waiting);
  });
});

describe("a fallback", () => {
  it("leads back step by step, and keeps what it leaves", () => {
    const third = cutOver(second, ground(3), "t3");
    const back = fallBack("web1", third);
    expect([back.generation, back.version]).toEqual([2, 2]);
    expect(back.kept?.map(({ generation }) => generation)).toEqual([1, 3]);
    const further = fallBack("web1", back);
    expect(further).toMatchObject({ generation: 1, version: 1 });
    expect(further).not.toHaveProperty("previous");
    expect(() => fallBack("web1", further)).toThrow("instance web1 has no generation before 1");
  });

  it("leads to any generation that is kept, forward too", () => {
    const back = fallBack("web1", second);
    expect(fallBack("web1", back, 2)).toEqual(second);
    expect(() => fallBack("web1", second, 2)).toThrow("instance web1 keeps no generation 2");
    expect(() => fallBack("web1", first)).toThrow("no generation before 1");
  });
});

it("drops a generation that is kept, and no other", () => {
  const left = dropGeneration("web1", second, 1);
  expect(left).not.toHaveProperty("kept");
  expect(() => fallBack("web1", left)).toThrow("no generation before 2");
  const third = dropGeneration("web1", cutOver(second, ground(3), "t3"), 2);
  expect([third.generation, fallBack("web1", third).generation]).toEqual([3, 1]);
  expect(() => dropGeneration("web1", second, 2)).toThrow("the one that instance web1 uses");
  expect(() => dropGeneration("web1", second, 7)).toThrow("keeps no generation 7");
});

it("rebases the generation in use and leaves the others", () => {
  expect(rebased(second, { base: "apps", version: 9, digest: "d9" })).toEqual({
    ...second,
    base: "apps",
    version: 9,
    digest: "d9",
  });
});

describe("the parts of an upper", () => {
  const inParts = { ...first, parts: 3, folded: 1 };
  it("stay with their generation", () => {
    const next = cutOver(inParts, ground(2), "t2");
    expect(next).not.toHaveProperty("parts");
    expect(next.kept).toMatchObject([{ generation: 1, parts: 3, folded: 1 }]);
    expect(fallBack("web1", next)).toMatchObject({ generation: 1, parts: 3, folded: 1 });
  });
  it("are one more after a live rebase, and one when they are merged", () => {
    expect(onPart(inParts, ground(2), 4)).toMatchObject({ version: 2, parts: 4, folded: 1 });
    expect(withoutParts(inParts, 1)).toEqual(first);
    expect(withoutParts(cutOver(inParts, ground(2), "t2"), 1)).toEqual(second);
    expect(unfolded(inParts, 1)).toEqual({ ...first, parts: 3 });
  });
});
