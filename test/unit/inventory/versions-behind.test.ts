import { describe, expect, it } from "vitest";
import { versionsBehind } from "../../../src/inventory/versions-behind.ts";

describe("versionsBehind", () => {
  it.each([
    ["on the current one", 3, 3, [1, 2, 3], 0],
    ["below it", 1, 3, [1, 2, 3], 2],
    ["below it, with a version removed in between", 1, 4, [1, 3, 4], 2],
    ["on a version that was removed", 1, 3, [2, 3], 2],
    ["above it, where an older one was made current", 3, 1, [1, 2, 3], -2],
    ["among newer ones that are not current", 2, 2, [1, 2, 3, 4], 0],
  ])("%s", (_, version, current, published, wanted) => {
    expect(versionsBehind(version, current, published)).toBe(wanted);
  });
});
