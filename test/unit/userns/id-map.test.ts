import { describe, expect, it } from "vitest";
import { hostId, mapName, mapText } from "../../../src/userns/id-map.ts";
import { lineUp } from "../../../src/userns/subordinate-ids.ts";

const range = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });

describe("mapName", () => {
  it("is the same for the same maps alone", () => {
    const map = { uids: [range(0, 100000, 10), range(10, 5, 1)], gids: [range(0, 7, 9)] };
    expect(mapName(map)).toBe("u0-100000-10_10-5-1.g0-7-9");
    expect(mapName({ uids: map.gids, gids: map.uids })).not.toBe(mapName(map));
  });

  it("is none for maps of many ranges", () => {
    const uids = Array.from({ length: 40 }, (_, index) => range(index, index + 100000, 1));
    expect(mapName({ uids, gids: uids })).toBeUndefined();
  });
});

describe("mapText", () => {
  it("has a range a line", () => {
    expect(mapText([range(0, 100000, 10), range(10, 5, 1)])).toBe("0 100000 10\n10 5 1\n");
  });
});

describe("hostId", () => {
  it("is undefined outside of all ranges", () => {
    expect([0, 9, 10].map((id) => hostId([range(0, 100, 10)], id))).toEqual([100, 109, undefined]);
  });
});

describe("lineUp", () => {
  it("puts ranges one behind the other", () => {
    const ranges = [
      { start: 100000, count: 10 },
      { start: 500, count: 5 },
    ];
    expect(lineUp(ranges)).toEqual([range(0, 100000, 10), range(10, 500, 5)]);
  });
});
