import { describe, expect, it } from "vitest";
import { attributesOf, differences, mountPointsOn, rootStack } from "../../../src/live/mounts.ts";
import {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
} from "../../../src/sys/flags.ts";
import type { MountEntry } from "../../../src/sys/mountinfo.ts";
import { isShared } from "../../../src/sys/propagation.ts";

function mount(id: number, parent: number, target: string, more: Partial<MountEntry> = {}): MountEntry {
  const rest = { device: `0:${id}`, root: "/", options: "rw,relatime", propagation: [], type: "tmpfs" };
  return { id, parent, target, ...rest, source: "tmpfs", superOptions: "rw", ...more };
}

const root = mount(10, 1, "/", { type: "overlay", source: "veneer:web1" });

describe("the places on a root", () => {
  it("are those directly on it, with what is stacked there", () => {
    const all = [
      root,
      mount(11, 10, "/proc"),
      mount(12, 11, "/proc/sys"),
      mount(13, 10, "/run"),
      mount(14, 13, "/run"),
    ];
    expect(mountPointsOn(all, 10)).toEqual([
      { path: "proc", stack: [11] },
      { path: "run", stack: [13, 14] },
    ]);
  });

  it("begin with what hides others", () => {
    const all = [root, mount(11, 10, "/a/b/c"), mount(12, 10, "/z"), mount(13, 10, "/a")];
    expect(mountPointsOn(all, 10).map(({ path }) => path)).toEqual(["z", "a", "a/b/c"]);
  });

  it("do not hold the root itself, nor what lies over it", () => {
    expect(mountPointsOn([mount(10, 10, "/"), mount(11, 10, "/")], 10)).toEqual([]);
  });
});

describe("the mounts at /", () => {
  it("are told from below", () => {
    const all = [mount(12, 11, "/"), root, mount(11, 10, "/"), mount(13, 12, "/proc")];
    expect(rootStack(all).map(({ id }) => id)).toEqual([10, 11, 12]);
  });
});

describe("attributes", () => {
  it.each([
    ["rw,relatime", 0],
    ["ro,nosuid,noexec,relatime", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC],
    ["rw,noatime", MOUNT_ATTR_NOATIME],
    ["rw", MOUNT_ATTR_STRICTATIME],
  ])("of %s", (options, set) => {
    expect(attributesOf(options).set).toBe(set);
  });
});

describe("what differs", () => {
  const before = [root, mount(11, 10, "/proc", { propagation: ["shared:4"] }), mount(12, 11, "/proc/sys")];
  const after = [
    before[1] && { ...before[1], parent: 20 },
    before[2],
    { ...root, id: 20, device: "0:99", superOptions: "rw,lowerdir+=/x" },
  ] as MountEntry[];

  it("is nothing when another root has the same mounts, in any order", () => {
    expect(differences(before, 10, after, 20)).toEqual([]);
  });

  it.each([
    ["a flag", { options: "rw" }],
    ["a group", { propagation: ["shared:5"] }],
    ["a place", { target: "/proc2" }],
    ["a mount of its own", { id: 99 }],
  ])("is %s", (_what, change) => {
    const changed = after.map((entry) => (entry.id === 11 ? { ...entry, ...change } : entry));
    expect(differences(before, 10, changed, 20)).toHaveLength(2);
  });

  it("is a root that is not shared any more, or writable", () => {
    const shared = before.map((entry) => (entry.id === 10 ? { ...entry, propagation: ["shared:1"] } : entry));
    expect(isShared(shared[0] as MountEntry)).toBe(true);
    expect(differences(shared, 10, after, 20)).toHaveLength(2);
    const readOnly = before.map((entry) => (entry.id === 10 ? { ...entry, options: "ro,relatime" } : entry));
    expect(differences(readOnly, 10, after, 20)).toHaveLength(2);
  });

  it("is a mount that is missing or new", () => {
    expect(differences(before, 10, after.slice(1), 20)[0]).toMatch(/^missing: 11 /);
    expect(differences(before, 10, [...after, mount(30, 20, "/x")], 20)).toEqual([
      expect.stringMatching(/^new: 30 /),
    ]);
  });
});
