import { expect, it } from "vitest";
import { parseAge } from "../../../src/bases/age.ts";

it.each([
  ["90s", 90_000],
  ["30m", 1_800_000],
  ["12h", 43_200_000],
  ["30d", 2_592_000_000],
  ["8w", 4_838_400_000],
])("%s is an age", (text, milliseconds) => {
  expect(parseAge(text)).toBe(milliseconds);
});

it.each(["", "30", "d", "1.5d", "-1d", "30 d", "30D", "9999999d"])("%j is none", (text) => {
  expect(() => parseAge(text)).toThrow(/is not valid/);
});
