import { describe, expect, it } from "vitest";
import { BLOCK, number, parseHeader } from "../../../src/tar/header.ts";
import { encodeEntry, type NewEntry } from "../../../src/tar/write-entry.ts";

const ENTRY: NewEntry = {
  name: "etc/passwd",
  type: "file",
  mode: 0o640,
  uid: 5,
  gid: 6,
  mtime: { seconds: 1_300_000_000n, nanoseconds: 0 },
  size: 1234,
};
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A header with other bytes at a place, its checksum made right again. */
function changed(
  at: number,
  bytes: readonly number[],
  sum = (block: Uint8Array) => block.reduce((a, b) => a + b, 0),
) {
  const block = encodeEntry(ENTRY).slice(0, BLOCK);
  block.set(bytes, at);
  block.fill(0x20, 148, 156);
  block.set(new TextEncoder().encode(`${sum(block).toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

describe("a header", () => {
  it("is read as it was written", () => {
    expect(parseHeader(encodeEntry(ENTRY))).toMatchObject({
      type: "0",
      mode: 0o640,
      uid: 5,
      gid: 6,
      size: 1234,
      mtime: 1_300_000_000,
      major: 0,
      minor: 0,
    });
    expect(text(parseHeader(encodeEntry(ENTRY)).name)).toBe("etc/passwd");
  });

  it("has a device's numbers", () => {
    const device = { ...ENTRY, type: "character device", size: 0, major: 1, minor: 3 } as const;
    expect(parseHeader(encodeEntry(device))).toMatchObject({ type: "3", major: 1, minor: 3 });
  });

  it("joins the prefix of ustar with the name", () => {
    const block = changed(345, [...new TextEncoder().encode("a/long/prefix")]);
    expect(text(parseHeader(block).name)).toBe("a/long/prefix/etc/passwd");
  });

  it("may have a sum of signed bytes, as old programs made it", () => {
    const signed = (block: Uint8Array) =>
      block.reduce((sum, byte) => sum + (byte > 127 ? byte - 256 : byte), 0);
    expect(text(parseHeader(changed(0, [0xe4], signed)).name)).toContain("tc/passwd");
  });

  it.each<[string, Uint8Array]>([
    ["of another sum", encodeEntry(ENTRY).slice(0, BLOCK).fill(0x41, 0, 1)],
    ["with a number that is none", changed(100, [0x39, 0x39, 0x39])],
    ["with a number beyond 2^53", changed(124, [0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
  ])("%s is refused", (_, block) => {
    expect(() => parseHeader(block)).toThrow(expect.objectContaining({ code: "BAD_TAR" }));
  });
});

describe("a number", () => {
  const field = (...bytes: number[]) =>
    new Uint8Array(12)
      .fill(0)
      .fill(0, bytes.length)
      .map((_, i) => bytes[i] ?? 0);
  it.each<[string, Uint8Array, number]>([
    ["of octal digits", new TextEncoder().encode("00000000644\0"), 0o644],
    ["with spaces around", new TextEncoder().encode("     644    "), 0o644],
    ["that is empty", field(), 0],
    ["in base 256", field(0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x02), 258],
    ["below zero", new Uint8Array(12).fill(0xff), -1],
  ])("%s", (_, block, expected) => {
    expect(number(block, 0, 12)).toBe(expected);
  });
});
