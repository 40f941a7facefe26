import { expect, it } from "vitest";
import { nearest } from "../../../src/text/did-you-mean.ts";

it.each([
  ["opaqe", "opaque"],
  ["Runtimes", "runtimes"],
  ["base lst", "base ls"],
  ["something-else", undefined],
])("%s is near %s", (word, expected) => {
  expect(nearest(word, ["opaque", "mask", "runtimes", "base ls"])).toBe(expected);
});
