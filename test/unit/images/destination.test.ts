import { describe, expect, it } from "vitest";
import { parseDestination } from "../../../src/images/destination.ts";

const parse = (text: string, there: readonly string[] = []) =>
  parseDestination(text, "/here", (path) => there.includes(path));

describe("the destination of an export", () => {
  it.each([
    ["-", { kind: "stdout" }],
    ["b.tar", { kind: "tar", path: "/here/b.tar", compression: "plain" }],
    ["/x/b.tgz", { kind: "tar", path: "/x/b.tgz", compression: "gzip" }],
    ["b.tar.xz", { kind: "tar", path: "/here/b.tar.xz", compression: "xz" }],
    ["b.tar.zst", { kind: "tar", path: "/here/b.tar.zst", compression: "zstd" }],
    ["oci:dir", { kind: "oci:", path: "/here/dir", tag: "latest" }],
    ["oci:/x/dir:v1", { kind: "oci:", path: "/x/dir", tag: "v1" }],
    ["oci-archive:a.oci:v1", { kind: "oci-archive:", path: "/here/a.oci", tag: "v1" }],
    ["docker://host/name:v1", { kind: "docker://", reference: "host/name:v1" }],
  ])("%s", (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  it("takes a colon for part of the path where that exists", () => {
    expect(parse("oci:dir:v1", ["/here/dir:v1"])).toEqual({
      kind: "oci:",
      path: "/here/dir:v1",
      tag: "latest",
    });
  });

  it.each([
    ["b.zip", /names no format/],
    ["podman:name", /is not written/],
    ["dir:/x", /is not written/],
    ["oci:", /names no image/],
  ])("%s is refused", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});
