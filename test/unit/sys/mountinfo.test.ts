import { describe, expect, it } from "vitest";
import { parseMountinfo, parseMountLine, upperOf } from "../../../src/sys/mountinfo.ts";

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
