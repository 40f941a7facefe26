import { expect, it } from "vitest";
import { compareListings, compareSums } from "../../../src/layers/compare-listings.ts";

const sum = (character: string, path: string) => `${character.repeat(64)} ${path}`;

it("names what changed of an entry", () => {
  const before = [". mode=40755 owner=0:0 time=1.0", "a mode=100644 owner=0:0 size=1 time=1.0", "b link=a"];
  expect(compareListings(before, before)).toEqual([]);
  const after = [
    ". mode=40755 owner=0:0 time=1.0",
    "a mode=100600 owner=0:0 size=2 time=1.0 user.x=00",
    "c link=a",
  ];
  expect(compareListings(before, after)).toEqual([
    { path: "a", what: ["mode", "size", "user.x"] },
    { path: "b", what: ["missing"] },
    { path: "c", what: ["added"] },
  ]);
});

it("names a file whose content changed, not one that is gone", () => {
  const before = [sum("a", "x"), sum("b", "y"), sum("c", "z")];
  expect(compareSums(before, [sum("a", "x"), sum("d", "y")])).toEqual([{ path: "y", what: ["content"] }]);
});
