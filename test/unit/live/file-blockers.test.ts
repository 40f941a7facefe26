import { describe, expect, it } from "vitest";
import { blockerLine, blockers, type OpenFile } from "../../../src/live/file-blockers.ts";

const log: OpenFile = {
  path: "/var/log/x",
  pid: 7,
  command: "httpd",
  kind: "file",
  reads: false,
  locked: false,
  otherNames: 0,
};
const why = (change: Partial<OpenFile>) => blockers([{ ...log, ...change }])[0]?.why;

describe("blockers", () => {
  it("a file that is only written is none", () => {
    expect(blockers([log])).toEqual([]);
  });

  it.each([
    ["open for reading too", { reads: true }, /for reading and writing/],
    ["locked", { locked: true }, /holds a lock/],
    ["of another name", { otherNames: 1 }, /another name/],
    ["of other names", { otherNames: 2 }, /2 other names/],
    ["of a generation that is left", { left: true }, /generation that is left/],
    ["a FIFO", { kind: "fifo" as const }, /FIFO/],
    ["a socket", { kind: "socket" as const }, /later connections would be refused/],
  ])("a file %s is one", (_what, change, reason) => {
    expect(why(change)).toMatch(reason);
  });

  it("are told once for each process and file", () => {
    const files = [log, { ...log, pid: 8 }, log].map((file) => ({ ...file, locked: true }));
    expect(blockers(files).map(({ pid }) => pid)).toEqual([7, 8]);
  });

  it("are told in a line", () => {
    const [first] = blockers([{ ...log, kind: "fifo" }]);
    expect(first && blockerLine(first)).toMatch(/^\/var\/log\/x \(process 7, httpd\): has this FIFO open/);
  });
});
