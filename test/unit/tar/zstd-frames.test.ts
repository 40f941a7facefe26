import { describe, expect, it } from "vitest";
import { detectCompression } from "../../../src/tar/compression.ts";
import { ZstdFrames } from "../../../src/tar/zstd-frames.ts";

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const block = (length: number, type: number, last: boolean) => {
  const value = (length << 3) | (type << 1) | Number(last);
  return [value & 0xff, (value >> 8) & 0xff, value >> 16];
};
const raw = (length: number, last: boolean) => [...block(length, 0, last), ...Array(length).fill(7)];
/** one segment, its size in a byte */
const plain = [...MAGIC, 0x20, 5, ...raw(5, true)];
/** a window, a dictionary of 4 bytes, a size of 8, a checksum; a block of one byte repeated */
const full = [
  ...MAGIC,
  0xc7,
  0,
  1,
  2,
  3,
  4,
  ...Array(8).fill(0),
  ...block(9, 1, false),
  7,
  ...raw(300, true),
  1,
  2,
  3,
  4,
];
const skippable = [0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 0x28, 0xb5, 0x2f];

/** In pieces of `size` bytes. */
function follow(bytes: readonly number[], size: number): void {
  const frames = new ZstdFrames();
  for (let at = 0; at < bytes.length; at += size) frames.look(Uint8Array.from(bytes.slice(at, at + size)));
  frames.end();
}

describe("frames of a zstd stream", () => {
  it.each([1, 2, 3, 7, 1000])("are followed to their end, in pieces of %d bytes", (size) => {
    for (const bytes of [plain, full, skippable, [...skippable, ...plain, ...skippable, ...full]]) {
      expect(() => follow(bytes, size)).not.toThrow();
    }
  });

  it.each([
    ["garbage", [...plain, 1, 2, 3, 4, 5]],
    ["a frame whose first byte is damaged", [...plain, 0x29, ...plain.slice(1)]],
  ])("are followed by no %s", (_, bytes) => {
    expect(() => follow(bytes, 4)).toThrow(/what follows a frame is none/);
  });

  it("are whole", () => {
    for (const bytes of [plain, full, skippable]) {
      for (let length = 1; length < bytes.length; length++) {
        expect(() => follow(bytes.slice(0, length), 5)).toThrow(/a frame is incomplete/);
      }
    }
  });
});

describe("the compression of a stream", () => {
  it.each([
    ["zstd", plain],
    ["zstd", skippable],
    ["plain", [0x5e, 0x2a, 0x4d]],
    ["plain", [0x4e, 0x2a, 0x4d, 0x18, 0, 0]],
  ])("is %s", (name, bytes) => {
    expect(detectCompression(Uint8Array.from(bytes.slice(0, 6))).name).toBe(name);
  });
});
