import { expect, it } from "vitest";
import { mapArguments, parseSubordinate } from "../../../src/userns/subordinate-ids.ts";

const FILE = "root:100000:65536\nalice:165536:65536\n1000:300000:10\n\nbroken\nalice:x:5\nbob:400000:0\n";

it("finds the ranges of a user by name and by number", () => {
  expect(parseSubordinate(FILE, 1000, "alice")).toEqual([
    { start: 165536, count: 65536 },
    { start: 300000, count: 10 },
  ]);
  expect(parseSubordinate(FILE, 1001, undefined)).toEqual([]);
  expect(parseSubordinate(FILE, 1001, "bob")).toEqual([]);
});

it("makes the user root, and its ranges 1 and up without a gap", () => {
  const ranges = parseSubordinate(FILE, 1000, "alice");
  expect(mapArguments(1000, ranges).join(" ")).toBe("0 1000 1 1 165536 65536 65537 300000 10");
  expect(mapArguments(1000, [])).toEqual(["0", "1000", "1"]);
});
