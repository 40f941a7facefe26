import { describe, expect, it } from "vitest";
import { beginPause, refuseLongPause } from "../../../src/live/pause.ts";

const wanted = { limit: 1000, container: "web1", act: "rebase" } as const;

describe("the pause of a container", () => {
  it("may last as long as is allowed", () => {
    let time = 5000;
    const pause = beginPause(wanted, () => time);
    time = 5999;
    expect(pause.left()).toBe(1);
    pause.check();
    time = 6001;
    expect(() => pause.check()).toThrow(/web1 may be paused for 1000 ms, and its rebase took longer/);
  });

  it("is refused beforehand where it is sure to take longer", () => {
    refuseLongPause(wanted, 900, 4000);
    expect(() => refuseLongPause(wanted, 900, 6000)).toThrow(/would take 1020 ms at least, with 6000 mounts/);
  });
});
