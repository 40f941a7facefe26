import { describe, expect, it } from "vitest";
import { parseVolume } from "../../../src/containers/volume.ts";

const parse = (text: string) => parseVolume(text, "/work dir");

describe("parseVolume", () => {
  it("reads source, destination and option", () => {
    expect(parse("/a:/b")).toEqual({ source: "/a", destination: "/b", readonly: false });
    expect(parse("/a:/b/:ro")).toEqual({ source: "/a", destination: "/b", readonly: true });
    expect(parse("/a:/b:rw").readonly).toBe(false);
  });

  it("takes a source relative to the working directory", () => {
    expect(parse("x/y:/b").source).toBe("/work dir/x/y");
  });

  it("takes an escaped colon and backslash as parts of a path", () => {
    expect(parse("/a\\:b\\\\:/c ,\"'é\\:d:ro")).toEqual({
      source: "/a:b\\",
      destination: "/c ,\"'é:d",
      readonly: true,
    });
    expect(parse("/a\\x:/b").source).toBe("/a\\x");
  });

  it.each([
    "",
    "/a",
    ":/b",
    "/a:",
    "/a:b",
    "/a:/",
    "/a:/b:",
    "/a:/b:rx",
    "/a:/b:ro:z",
    "/a:/../b",
    "/a\0:/b",
  ])("refuses %j", (text) => {
    expect(() => parse(text)).toThrow(/volume/);
  });
});
