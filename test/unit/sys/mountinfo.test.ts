import { describe, expect, it } from "vitest";
import {
  findChildren,
  findMount,
  parseMountinfo,
  parseMountLine,
  upperOf,
} from "../../../src/sys/mountinfo.ts";

const LINE = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue";

describe("a line of mountinfo", () => {
  it("is read as proc_pid_mountinfo(5) describes it", () => {
    expect(parseMountLine(LINE)).toEqual({
      id: 36,
      parent: 35,
      device: "98:0",
      root: "/mnt1",
      target: "/mnt2",
      options: "rw,noatime",
      propagation: ["master:1", "shared:7"],
      type: "ext3",
      source: "/dev/root",
      superOptions: "rw,errors=continue",
    });
  });

  it("may have no optional field", () => {
    expect(parseMountLine("1 0 0:1 / / rw - rootfs none rw")?.propagation).toEqual([]);
  });

  it("has escapes for what would end a field", () => {
    const entry = parseMountLine("1 0 0:1 /a\\040b /c\\011d\\012e\\134f\\043 rw - tmpfs x\\040y rw");
    expect([entry?.root, entry?.target, entry?.source]).toEqual(["/a b", "/c\td\ne\\f#", "x y"]);
  });

  it("may have spaces in the options of the file system", () => {
    expect(parseMountLine("1 0 0:1 / /m rw - overlay o rw,lowerdir=/a b")?.superOptions).toBe(
      "rw,lowerdir=/a b",
    );
  });

  it.each(["", "1 2 3", "1 0 0:1 / / rw shared:1", "1 0 0:1 / / rw - tmpfs"])(
    "of another form (%j) is passed over",
    (line) => {
      expect(parseMountLine(line)).toBeUndefined();
      expect(parseMountinfo(`${line}\n${LINE}\n`)).toHaveLength(1);
    },
  );
});

describe("a mount table", () => {
  const lines = [
    "6 5 98:0 / / rw - ext4 /dev/root rw",
    "36 6 98:0 / /a rw - ext4 /dev/root rw",
    "136 36 0:6 / /a/b rw shared:36 - tmpfs x 6 36 rw",
    "37 36 0:7 /36 /a/c rw - proc proc rw",
    "1366 136 0:6 / /a/b/36 rw - tmpfs 36 rw",
  ];

  it.each([`${lines.join("\n")}\n`, lines.join("\n")])(
    "is asked for one mount and for those on it",
    (table) => {
      for (const entry of parseMountinfo(table)) {
        expect(findMount(table, entry.id)).toEqual(entry);
        expect(findChildren(table, entry.id)).toEqual(
          parseMountinfo(table).filter(({ parent }) => parent === entry.id),
        );
      }
      expect(findMount(table, 3)).toBeUndefined();
      expect(findChildren(table, 5).map(({ id }) => id)).toEqual([6]);
      expect(findMount("", 6)).toBeUndefined();
    },
  );
});

describe("the upper of an overlay", () => {
  it.each([
    ["rw,lowerdir=/l,upperdir=/u,workdir=/w", "/u"],
    ["rw,upperdir=/a\\040b,workdir=/w", "/a b"],
    ["rw,lowerdir=/upperdir=/x", undefined],
    ["ro,lowerdir=/l", undefined],
  ])("in %s is %s", (options, upper) => {
    expect(upperOf(options)).toBe(upper);
  });
});
