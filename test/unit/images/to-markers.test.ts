/** layer.md of the image specification, "Whiteouts"; overlayfs.rst, "Whiteouts and opaque directories". */
import { describe, expect, it } from "vitest";
import { toMarkers } from "../../../src/images/to-markers.ts";
import type { PackedEntry } from "../../../src/trees/pack-tree.ts";

const FILE = 0o100644;
const CHARACTER_DEVICE = 0o020000;
const BLOCK_DEVICE = 0o060000;
const MTIME = { seconds: 1_700_000_000n, nanoseconds: 5 };

function entry(
  path: string,
  mode: number,
  device: readonly [number, number] = [0, 0],
  xattrs: readonly string[] = [],
): PackedEntry {
  const stat = {
    mode,
    uid: 0,
    gid: 0,
    nlink: 1,
    ino: 1n,
    dev: "0:1",
    rdevMajor: device[0],
    rdevMinor: device[1],
    size: 1,
    blocks: 8,
    mtime: MTIME,
    ctime: MTIME,
    mountId: 1n,
    isMountRoot: false,
  };
  const name = path.slice(path.lastIndexOf("/") + 1);
  return { path, name, stat, xattrs: new Map(xattrs.map((key) => [key, new Uint8Array([0x79])])) };
}

describe("what an image's layer has a marker for", () => {
  it.each([
    ["etc/motd", "etc/.wh.motd"],
    ["top", ".wh.top"],
    ["a/a/a", "a/a/.wh.a"],
  ])("the whiteout of %s is the empty file %s, beside it", (path, marker) => {
    expect(toMarkers(entry(path, CHARACTER_DEVICE))).toEqual({ instead: { name: marker, mtime: MTIME } });
  });

  it.each([
    ["/dev/null", CHARACTER_DEVICE, [1, 3]],
    ["a character device 0/3", CHARACTER_DEVICE, [0, 3]],
    ["a block device 0/0", BLOCK_DEVICE, [0, 0]],
    ["a file", FILE, [0, 0]],
  ] as const)("%s is no whiteout", (_, mode, device) => {
    expect(toMarkers(entry("dev/x", mode, device))).toBeUndefined();
  });

  it.each([".wh.motd", ".wh..wh..opq", ".wh..wh.plnk", ".wh."])("no file may be called %s", (name) => {
    for (const path of [name, `etc/${name}`]) {
      expect(() => toMarkers(entry(path, FILE))).toThrow(`'/${path}': images keep such names`);
    }
  });

  it.each(["wh.motd", ".whatever", "a.wh.b"])("%s is a name as any other", (name) => {
    expect(toMarkers(entry(`etc/${name}`, FILE))).toBeUndefined();
  });

  it.each(["trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.redirect"])(
    "%s is refused: its content is in a layer that the image does not have",
    (key) => {
      expect(() => toMarkers(entry("etc/x", FILE, [0, 0], [key]))).toThrow(/in another layer \(.*overlay/);
    },
  );
});
