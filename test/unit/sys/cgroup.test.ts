import { describe, expect, it } from "vitest";
import { cgroupLayout, freezersOf } from "../../../src/sys/cgroup.ts";
import type { MountEntry } from "../../../src/sys/mountinfo.ts";

const layout = (...mounts: [type: string, target: string][]) =>
  cgroupLayout(mounts.map(([type, target]) => ({ type, target }) as MountEntry));

it("tells the layouts of control groups apart", () => {
  expect(layout(["cgroup2", "/sys/fs/cgroup"])).toBe("v2");
  expect(layout(["tmpfs", "/sys/fs/cgroup"], ["cgroup", "/sys/fs/cgroup/cpu"])).toBe("v1");
  expect(layout(["cgroup", "/sys/fs/cgroup/cpu"], ["cgroup2", "/sys/fs/cgroup/unified"])).toBe("hybrid");
  expect(layout(["ext4", "/"], ["cgroup2", "/elsewhere"])).toBe("none");
});

describe("the freezers of a process", () => {
  const mount = (target: string, type: string, superOptions = "rw", root = "/"): MountEntry => ({
    id: 1,
    parent: 0,
    device: "0:1",
    root,
    target,
    options: "rw",
    propagation: [],
    type,
    source: type,
    superOptions,
  });
  const v1 = mount("/sys/fs/cgroup/freezer", "cgroup", "rw,freezer");
  const v2 = mount("/sys/fs/cgroup/unified", "cgroup2");

  it("are in each hierarchy that can freeze, version 1 first", () => {
    const text = "8:pids:/c1\n0::/c1\n6:freezer:/box/c1\n";
    expect(freezersOf(text, [mount("/sys/fs/cgroup/pids", "cgroup", "rw,pids"), v2, v1])).toEqual([
      { kind: "v1", path: "/sys/fs/cgroup/freezer/box/c1" },
      { kind: "v2", path: "/sys/fs/cgroup/unified/c1" },
    ]);
  });

  it("are none in the root group, and where nothing is mounted", () => {
    expect(freezersOf("6:freezer:/\n0::/\n", [v1, v2])).toEqual([]);
    expect(freezersOf("0::/c1", [v1])).toEqual([]);
  });

  it("are found below a part of a hierarchy that is mounted, and not beside it", () => {
    const part = mount("/sys/fs/cgroup", "cgroup2", "rw", "/outer");
    expect(freezersOf("0::/outer/c1", [part])).toEqual([{ kind: "v2", path: "/sys/fs/cgroup/c1" }]);
    expect(freezersOf("0::/outer2/c1", [part])).toEqual([]);
    expect(freezersOf("0::/../c1", [mount("/sys/fs/cgroup", "cgroup2")])).toEqual([]);
  });
});
