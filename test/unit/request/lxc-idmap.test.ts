import { expect, test } from "vitest";
import { idMapOfLines } from "../../../src/request/lxc-idmap.ts";

test("collects the extents of users and groups in their order", () => {
  expect(idMapOfLines(["u 0 100000 1000", "g 0 200000 65536", "u\t1000  1000 1"])).toEqual({
    uids: [
      { containerID: 0, hostID: 100000, size: 1000 },
      { containerID: 1000, hostID: 1000, size: 1 },
    ],
    gids: [{ containerID: 0, hostID: 200000, size: 65536 }],
  });
});

test("begins anew after an empty value", () => {
  expect(idMapOfLines(["u 0 100000 1000", "", "u 0 5 1"])?.uids).toEqual([
    { containerID: 0, hostID: 5, size: 1 },
  ]);
  expect(idMapOfLines(["u 0 100000 1000", ""])).toBeUndefined();
});

test.each([[], ["b 0 1 2"], ["u 0 1"], ["u 0 1 x"], ["u 0 1 0"]])(
  "is nothing without a line that LXC takes",
  (...values) => {
    expect(idMapOfLines(values)).toBeUndefined();
  },
);
