import { describe, expect, test } from "vitest";
import {
  dropHooks,
  dropLines,
  isOurHook,
  setHook,
  setHooks,
  setValue,
  valuesOf,
} from "../../../src/request/lxc-text.ts";

const TEXT = `# a container
lxc.net.0.type=veth
  lxc.rootfs.path =\tdir:/old  
#lxc.rootfs.path = dir:/comment
lxc.rootfs.path = dir:/var/lib/lxc/ö a/rootfs
lxc.hook.pre-mount = /usr/bin/other
lxc.hook.pre-mounted = /usr/bin/veneer hook lxc`;

describe("setValue", () => {
  test("changes the value of the last line alone, which is the one that counts", () => {
    expect(setValue(TEXT, "rootfs.path", "dir:/new")).toBe(
      TEXT.replace("dir:/var/lib/lxc/ö a/rootfs", "dir:/new"),
    );
  });

  test("adds a line, after one that has no end too", () => {
    expect(setValue("lxc.a = 1", "b", "2")).toBe("lxc.a = 1\nlxc.b = 2\n");
    expect(setValue("", "b", "2")).toBe("lxc.b = 2\n");
  });

  test("leaves a value that is right as it is written", () => {
    expect(setValue("\tlxc.a=1 \n", "a", "1")).toBe("\tlxc.a=1 \n");
  });
});

describe("setHook", () => {
  const hook = "/usr/bin/veneer hook lxc --base b";

  test("adds ours behind others, once", () => {
    const once = setHook(TEXT, "pre-mount", hook);
    expect(once).toBe(`${TEXT}\nlxc.hook.pre-mount = ${hook}\n`);
    expect(setHook(once, "pre-mount", hook)).toBe(once);
  });

  test("takes the place of what it said before", () => {
    const before = setHook(setHook(TEXT, "pre-mount", `${hook}2`), "post-stop", "/usr/bin/veneer hook lxc");
    const after = setHook(before, "pre-mount", hook);
    expect(valuesOf(after, "hook.pre-mount")).toEqual(["/usr/bin/other", hook]);
    expect(dropHooks(after)).toBe(`${TEXT}\n`);
  });
});

test("setHooks gives a container with a user namespace other places, and takes those of before away", () => {
  const mapped = setHooks(TEXT, "veneer hook lxc --base b", "veneer hook lxc", true);
  expect(valuesOf(mapped, "hook.pre-start")).toEqual(["veneer hook lxc --base b"]);
  expect(valuesOf(mapped, "hook.pre-mount")).toEqual(["/usr/bin/other"]);
  expect(valuesOf(mapped, "hook.start-host")).toEqual(["veneer hook lxc"]);
  const plain = setHooks(mapped, "veneer hook lxc --base b", "veneer hook lxc", false);
  expect(valuesOf(plain, "hook.pre-mount")).toEqual(["/usr/bin/other", "veneer hook lxc --base b"]);
  expect([valuesOf(plain, "hook.pre-start"), valuesOf(plain, "hook.start-host")]).toEqual([[], []]);
  expect(dropHooks(plain)).toBe(`${TEXT}\n`);
});

test("dropLines takes whole lines, the last one without an end too", () => {
  expect(dropLines("lxc.a = 1\nlxc.b = 2\nlxc.a = 1", "a", () => true)).toBe("lxc.b = 2\n");
  expect(dropLines("lxc.a = 1\n", "a", (value) => value === "2")).toBe("lxc.a = 1\n");
});

test.each([
  ["/usr/local/bin/veneer hook lxc", true],
  ["'/opt/a b/veneer' --root '/x y' hook lxc --base b", true],
  ["/usr/bin/veneer hook oci", false],
  ["/usr/bin/notveneer hook lxc", false],
  ["/usr/bin/veneer hook lxcfs", false],
])("isOurHook(%j) is %j", (command, expected) => {
  expect(isOurHook(command)).toBe(expected);
});
