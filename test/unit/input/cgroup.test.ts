import { expect, it } from "vitest";
import { cgroupLayout } from "../../../src/input/cgroup.ts";
import type { MountEntry } from "../../../src/sys/mountinfo.ts";

const layout = (...mounts: [type: string, target: string][]) =>
  cgroupLayout(mounts.map(([type, target]) => ({ type, target }) as MountEntry));

it("tells the layouts of control groups apart", () => {
  expect(layout(["cgroup2", "/sys/fs/cgroup"])).toBe("v2");
  expect(layout(["tmpfs", "/sys/fs/cgroup"], ["cgroup", "/sys/fs/cgroup/cpu"])).toBe("v1");
  expect(layout(["cgroup", "/sys/fs/cgroup/cpu"], ["cgroup2", "/sys/fs/cgroup/unified"])).toBe("hybrid");
  expect(layout(["ext4", "/"], ["cgroup2", "/elsewhere"])).toBe("none");
});
