import { describe, expect, it } from "vitest";
import { shiftAcl, shiftCapability, shiftedId } from "../../../src/layers/shift-ids.ts";

const uids = [
  { containerID: 0, hostID: 100000, size: 10 },
  { containerID: 1000, hostID: 7, size: 1 },
];
const gids = [{ containerID: 0, hostID: 200000, size: 10 }];
const map = { uids, gids };

describe("shiftedId", () => {
  it.each([
    [0, 100000],
    [9, 100009],
    [10, 65534],
    [999, 65534],
    [1000, 7],
    [1001, 65534],
  ])("%i becomes %i", (id, host) => expect(shiftedId(uids, id)).toBe(host));
});

describe("shiftAcl", () => {
  it("changes the ids of named users and groups alone", () => {
    const none = 0xffffffff;
    const entries = [
      [1, 6, none],
      [2, 4, 5],
      [4, 4, none],
      [8, 6, 5],
      [0x10, 6, none],
      [0x20, 4, none],
    ] as const;
    const encode = (rows: readonly (readonly [number, number, number])[]) => {
      const bytes = new Uint8Array(4 + rows.length * 8);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, 2, true);
      rows.forEach(([tag, perm, id], index) => {
        view.setUint16(4 + index * 8, tag, true);
        view.setUint16(6 + index * 8, perm, true);
        view.setUint32(8 + index * 8, id, true);
      });
      return bytes;
    };
    const shifted = entries.map(
      ([tag, perm, id]) => [tag, perm, tag === 2 ? 100005 : tag === 8 ? 200005 : id] as const,
    );
    expect(shiftAcl(encode(entries), map)).toEqual(encode(shifted));
  });
});

describe("shiftCapability", () => {
  const sets = Array.from({ length: 16 }, (_, index) => index);
  const version2 = new Uint8Array([1, 0, 0, 2, ...sets]);

  it("names the namespace's root in one of revision 2", () => {
    const version3 = [1, 0, 0, 3, ...sets, 0xa0, 0x86, 0x01, 0x00];
    expect([...shiftCapability(version2, map)]).toEqual(version3);
  });

  it("shifts the root of one of revision 3", () => {
    const value = new Uint8Array([0, 0, 0, 3, ...sets, 0xe8, 0x03, 0, 0]);
    expect([...shiftCapability(value, map)]).toEqual([0, 0, 0, 3, ...sets, 7, 0, 0, 0]);
  });

  it("leaves another revision alone", () => {
    const value = new Uint8Array([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(shiftCapability(value, map)).toBe(value);
  });
});
