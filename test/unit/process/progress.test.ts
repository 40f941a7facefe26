import { expect, test } from "vitest";
import { formatRemaining } from "../../../src/process/progress.ts";

test.each([
  ["too early to tell", 1999, 0.5, undefined],
  ["nothing done yet", 60_000, 0, undefined],
  ["a file that grows while it is read", 60_000, 1.1, undefined],
  ["half of it", 10_000, 0.5, "about 10 s left"],
  ["all of it", 10_000, 1, "about 0 s left"],
  ["minutes", 10_000, 0.05, "about 4 min left"],
  ["hours", 600_000, 0.01, "about 17 h left"],
])("the time that is left: %s", (_what, elapsed, share, expected) => {
  expect(formatRemaining(elapsed, share)).toBe(expected);
});
