import { describe, expect, it } from "vitest";
import { ByteReader } from "../../../src/tar/byte-reader.ts";
import { BLOCK } from "../../../src/tar/header.ts";
import { checkSparse, readPaxSparse } from "../../../src/tar/sparse.ts";
import { encodeMap } from "../../../src/tar/sparse-map.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const records = (entries: Record<string, string>) =>
  new Map(Object.entries(entries).map(([key, value]) => [`GNU.sparse.${key}`, bytes(value)]));
const reader = (...chunks: Uint8Array[]) =>
  new ByteReader(
    (async function* () {
      yield* chunks;
    })(),
  );

describe("a sparse file", () => {
  it("of format 0.1 has its map in the header", async () => {
    const found = await readPaxSparse(records({ map: "0,10,100,5", size: "200" }), 15, reader());
    expect(found).toEqual({
      size: 200,
      extents: [
        { offset: 0, length: 10 },
        { offset: 100, length: 5 },
      ],
      mapLength: 0,
    });
  });

  it("of format 1.0 has it before its data, as it is written here", async () => {
    const extents = [
      { offset: 4096, length: 8192 },
      { offset: 65536, length: 4096 },
    ];
    const { map, extents: written } = encodeMap(extents, 100_000);
    const wanted = records({ major: "1", minor: "0", realsize: "100000" });
    const found = await readPaxSparse(wanted, map.length + 12288, reader(map));
    expect(found).toEqual({ size: 100_000, extents: written, mapLength: BLOCK });
    expect(written).toEqual([...extents, { offset: 100_000, length: 0 }]);
  });

  it("is none without records that say so", async () => {
    expect(await readPaxSparse(new Map(), 10, reader())).toBeUndefined();
  });

  it.each(["0,10,5", "0,x", "-1,5"])("with the map %s is refused", async (map) => {
    await expect(readPaxSparse(records({ map, size: "20" }), 10, reader())).rejects.toThrow(
      /map of a sparse file/,
    );
  });

  it.each([
    ["overlaps", [0, 10, 5, 10], 20],
    ["leaves the file", [90, 20], 20],
    ["is not what the archive has", [0, 10], 11],
  ])("whose data %s is refused", (_, numbers, data) => {
    const extents: { offset: number; length: number }[] = [];
    for (let at = 0; at < numbers.length; at += 2) {
      extents.push({ offset: numbers[at] as number, length: numbers[at + 1] as number });
    }
    expect(() => checkSparse({ size: 100, extents, mapLength: 0 }, data)).toThrow(
      expect.objectContaining({ code: "BAD_TAR" }),
    );
  });

  it("gives up small holes where the map would be larger than others read", () => {
    const many = Array.from({ length: 100_000 }, (_, index) => ({ offset: index * 8192, length: 4096 }));
    const { map, extents } = encodeMap(many, 100_000 * 8192);
    expect(map.length).toBeLessThan(1 << 20);
    expect(extents.length).toBeLessThan(many.length);
  });
});
