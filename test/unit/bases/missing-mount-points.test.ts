import { expect, it } from "vitest";
import { planMissingMountPoints } from "../../../src/bases/missing-mount-points.ts";
import type { PathFact } from "../../../src/overlay/upper-entries.ts";

const directory = (path: string, mode = 0o40755) => ({
  path,
  mode,
  uid: 1,
  gid: 2,
  mtime: { seconds: 3n, nanoseconds: 4 },
  xattrs: new Map(),
});
const missing = (path: string, ...parents: PathFact["parents"]): PathFact => ({
  asked: `/${path}`,
  path,
  kind: "missing",
  parents,
});
const made = (path: string) => ({ path, kind: "merged", mode: 0o755, uid: 0, gid: 0 });

it("adds nothing to a base that has every mount point", () => {
  const there: PathFact = {
    asked: "/proc",
    path: "proc",
    kind: "directory",
    parents: [],
    directory: directory("proc"),
  };
  const file: PathFact = {
    asked: "/etc/resolv.conf",
    path: "etc/resolv.conf",
    kind: "other",
    parents: [directory("etc")],
  };
  expect(planMissingMountPoints([there], [file])).toEqual({ entries: [], files: [] });
});

it("makes what is missing, keeps the attributes of the directories above it, and makes those that miss too", () => {
  const etc = directory("etc", 0o42750);
  expect(planMissingMountPoints([missing("dev")], [missing("etc/a/resolv.conf", etc)])).toEqual({
    entries: [made("dev"), { ...etc, kind: "merged", mode: 0o2750 }, made("etc/a")],
    files: ["etc/a/resolv.conf"],
  });
});
