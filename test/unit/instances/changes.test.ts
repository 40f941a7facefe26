import { describe, expect, it } from "vitest";
import { changes, type UpperFact } from "../../../src/instances/changes.ts";

const lines = (...facts: (Partial<UpperFact> & Pick<UpperFact, "path" | "own">)[]) =>
  changes(facts.map((fact) => ({ same: false, gone: [], ...fact }))).map(
    ({ kind, path }) => `${kind} ${path}`,
  );

describe("changes", () => {
  it("are none in an upper that only has its directories", () => {
    expect(
      lines(
        { path: "", own: "directory", start: "directory", same: true },
        { path: "tmp", own: "directory", start: "directory", same: true },
        { path: "srv/made", own: "directory", same: true },
      ),
    ).toEqual([]);
  });

  it("name the directories above them", () => {
    expect(
      lines(
        { path: "etc", own: "directory", start: "directory", same: true },
        { path: "etc/ssh", own: "directory", start: "directory", same: true },
        { path: "etc/ssh/key", own: "other" },
      ),
    ).toEqual(["C /etc", "C /etc/ssh", "A /etc/ssh/key"]);
  });

  it.each([
    ["a new file", { own: "other" }, ["A /x"]],
    ["a new directory", { own: "directory" }, ["A /x"]],
    ["a changed file", { own: "other", start: "other" }, ["C /x"]],
    ["a directory with other attributes", { own: "directory", start: "directory" }, ["C /x"]],
    ["a file that became a directory", { own: "directory", start: "other" }, ["C /x"]],
    ["a directory that became a file", { own: "other", start: "directory" }, ["C /x"]],
    ["a whiteout", { own: "whiteout", start: "directory" }, ["D /x"]],
    ["a whiteout of nothing", { own: "whiteout" }, []],
    [
      "a directory that hides the base's",
      { own: "directory", start: "directory", same: true, gone: ["a", "b"] },
      ["C /x", "D /x/a", "D /x/b"],
    ],
  ] as const)("tell of %s", (_, fact, wanted) => {
    expect(lines({ path: "x", ...fact })).toEqual(wanted);
  });

  it("are sorted with a directory before its contents and those before its siblings", () => {
    const file = (path: string): UpperFact => ({ path, own: "other", same: false, gone: [] });
    expect(lines(file("a-b"), file("a"), file("a/z"), file("a.c"))).toEqual([
      "A /a",
      "A /a/z",
      "A /a-b",
      "A /a.c",
    ]);
  });
});
