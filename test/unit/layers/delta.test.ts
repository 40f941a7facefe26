import { describe, expect, it } from "vitest";
import { pathsOfDelta } from "../../../src/layers/delta.ts";

const delta = (changes: Partial<Record<"added" | "changed" | "touched" | "removed", readonly string[]>>) =>
  pathsOfDelta({
    added: [],
    changed: [],
    touched: [],
    removed: [],
    replaced: [],
    bytes: { all: 0, different: 0 },
    ...changes,
  });

describe("the paths that a layer of what differs holds", () => {
  it("are the root alone where nothing does", () => {
    expect(delta({})).toEqual(["."]);
  });

  it("have all directories above what was added, changed or touched", () => {
    expect(delta({ added: ["a/b/c/new"], changed: ["d/e"], touched: ["f"] })).toEqual([
      ".",
      "a",
      "a/b",
      "a/b/c",
      "a/b/c/new",
      "d",
      "d/e",
      "f",
    ]);
  });

  it("have the directories above what was removed, and not that: a whiteout comes in its place", () => {
    expect(delta({ removed: ["a/b/gone", "top"] })).toEqual([".", "a", "a/b"]);
  });

  it("have a directory before what is in it, whatever sorts between", () => {
    const found = delta({ added: ["a/z", "a-b", "a.b/x", "a/b/c"] });
    for (const path of found.filter((one) => one.includes("/"))) {
      const above = found.indexOf(path.slice(0, path.lastIndexOf("/")));
      expect(above).toBeGreaterThanOrEqual(0);
      expect(above).toBeLessThan(found.indexOf(path));
    }
  });

  it("name each once", () => {
    expect(delta({ added: ["a/x", "a/y"], changed: ["a"], removed: ["a/z"] })).toEqual([
      ".",
      "a",
      "a/x",
      "a/y",
    ]);
  });
});
