import { describe, expect, it } from "vitest";
import { cleanPath, device } from "../../../src/images/entry-path.ts";

describe("a path in an archive", () => {
  it.each([
    ["a/b", "a/b"],
    ["./a//b/", "a/b"],
    ["/a", "a"],
    ["../../a", "a"],
    ["a/../b", "b"],
    [".", ""],
    ["a..b/..c", "a..b/..c"],
  ])("%s is %s below the root", (name, expected) => {
    expect(cleanPath(name)).toBe(expected);
  });

  it.each(["a\0b", "x/".repeat(3000)])("is refused where no file can have it", (name) => {
    expect(() => cleanPath(name)).toThrow(expect.objectContaining({ code: "BAD_IMAGE" }));
  });
});

describe("a device", () => {
  it.each([
    [1, 3, 0x103],
    [8, 300, 0x10082c],
  ])("%i:%i is what mknod(2) takes", (major, minor, expected) => {
    expect(device(major, minor)).toBe(expected);
  });

  it.each([
    [4096, 0],
    [0, 1 << 20],
    [-1, 0],
  ])("%i:%i is none", (major, minor) => {
    expect(() => device(major, minor)).toThrow(expect.objectContaining({ code: "BAD_IMAGE" }));
  });
});
