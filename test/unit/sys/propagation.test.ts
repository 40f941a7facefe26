/** mount_namespaces(7), "/proc/PID/mountinfo and propagation type". */
import { describe, expect, it } from "vitest";
import { parseMountLine } from "../../../src/sys/mountinfo.ts";
import { isShared } from "../../../src/sys/propagation.ts";

describe("whether what is mounted below a mount may propagate", () => {
  it.each([
    ["shared:2", true],
    ["master:1 shared:2", true],
    ["master:1", false],
    ["master:1 propagate_from:2", false],
    ["unbindable", false],
    ["", false],
  ])("the fields %j: %s", (fields, expected) => {
    const tags = fields === "" ? "" : `${fields} `;
    const line = `77 61 8:17 / /shared:1 rw ${tags}- ext4 shared:1 rw`;
    expect(isShared(parseMountLine(line) as NonNullable<ReturnType<typeof parseMountLine>>)).toBe(expected);
  });
});
