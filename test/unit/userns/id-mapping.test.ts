import { describe, expect, it } from "vitest";
import { idMapOf, parseIdRange } from "../../../src/userns/id-mapping.ts";

describe("parseIdRange", () => {
  it("reads CONTAINER:HOST:SIZE", () => {
    expect(parseIdRange("0:100000:65536")).toEqual({ containerID: 0, hostID: 100000, size: 65536 });
  });

  it.each(["", "0", "0:1", "0:1:0", "0:1:2:3", "-1:1:1", "a:b:c", "0:4294967295:1", "4294967290:0:10"])(
    "refuses '%s'",
    (text) => expect(() => parseIdRange(text)).toThrow("is not valid"),
  );
});

describe("idMapOf", () => {
  const range = { containerID: 0, hostID: 5, size: 9 };

  it("gives groups the ranges of users where they have none", () => {
    expect(idMapOf(["0:5:9"], [])).toEqual({ uids: [range], gids: [range] });
  });

  it("is undefined without any", () => expect(idMapOf([], [])).toBeUndefined());

  it.each([
    [["1:5:9"], [], "--uidmap"],
    [["0:5:9"], ["1:5:9"], "--gidmap"],
    [[], ["0:5:9"], "--uidmap"],
  ])("refuses maps without root: %j %j", (uids, gids, option) => {
    expect(() => idMapOf(uids, gids)).toThrow(`${option} has no id for root`);
  });
});
