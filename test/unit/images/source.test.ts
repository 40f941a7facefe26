import { expect, it } from "vitest";
import { parseSource } from "../../../src/images/source.ts";
import { detectCompression } from "../../../src/tar/compression.ts";

it("takes what names no transport for a path", () => {
  expect(parseSource("/a/b:c", "/w")).toEqual({ kind: "path", path: "/a/b:c" });
  expect(parseSource("x.tar", "/w")).toEqual({ kind: "path", path: "/w/x.tar" });
  expect(parseSource("-", "/w")).toEqual({ kind: "stdin" });
});

it("keeps an image's transport and reference apart", () => {
  expect(parseSource("oci:dir:tag", "/w")).toEqual({
    kind: "image",
    transport: "oci:",
    reference: "dir:tag",
    path: "/w/dir:tag",
  });
  expect(parseSource("docker://r/i", "/w")).toEqual({
    kind: "image",
    transport: "docker://",
    reference: "r/i",
    path: "r/i",
  });
  expect(() => parseSource("oci:", "/w")).toThrow(/names no image/);
  expect(() => parseSource("", "/w")).toThrow(/is empty/);
});

it("knows a compression by the first bytes", () => {
  const name = (...bytes: number[]) => detectCompression(new Uint8Array(bytes)).name;
  expect(name(0x1f, 0x8b, 8, 0)).toBe("gzip");
  expect(name(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)).toBe("xz");
  expect(name(0x28, 0xb5, 0x2f, 0xfd)).toBe("zstd");
  expect(name(0x42, 0x5a, 0x68)).toBe("bzip2");
  expect(name(0x1f)).toBe("plain");
  expect(name()).toBe("plain");
});
