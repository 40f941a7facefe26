import { describe, expect, it } from "vitest";
import {
  isFull,
  MAX_PARTS,
  partDirectories,
  partNumbers,
  partUppers,
} from "../../../src/store/frozen-uppers.ts";

describe("parts of an upper", () => {
  it("are the directory itself where a definition says nothing", () => {
    expect(partNumbers({})).toEqual([0]);
    expect(partDirectories("/i/1", {})).toEqual(["/i/1"]);
  });
  it("are listed with the one that is written to first", () => {
    expect(partUppers("/i/1", { parts: 2 })).toEqual([
      "/i/1/parts/2/upper",
      "/i/1/parts/1/upper",
      "/i/1/upper",
    ]);
  });
  it("leave out those that part 0 has meanwhile", () => {
    expect(partNumbers({ parts: 17, folded: 15 })).toEqual([17, 16, 0]);
    expect(partNumbers({ parts: 16, folded: 15 })).toEqual([16, 0]);
  });
  it("are full with as many as may be mounted at once", () => {
    expect(isFull({ parts: MAX_PARTS - 2 })).toBe(false);
    expect(isFull({ parts: MAX_PARTS - 1 })).toBe(true);
    expect(isFull({ parts: 100, folded: 99 })).toBe(false);
  });
});
