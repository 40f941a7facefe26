import { describe, expect, it } from "vitest";
import {
  diffPackages,
  packageLines,
  parseApk,
  parseDpkg,
  parseRpmHeader,
} from "../../../src/bases/package-databases.ts";

describe("package databases", () => {
  it("dpkg: what is installed, not what was removed", () => {
    const status = `Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2
Description: a shell
 Version: of a description is none

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: half
Status: install ok half-configured
Architecture: all
Version: 2
`;
    expect([...parseDpkg(status)]).toEqual([
      ["bash:amd64", "5.2.15-2"],
      ["half:all", "2"],
    ]);
  });

  it("apk", () => {
    expect([...parseApk("C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\n\nP:busybox\nV:1.36\nA:x86_64\n")]).toEqual([
      ["musl:x86_64", "1.2.4-r2"],
      ["busybox:x86_64", "1.36"],
    ]);
  });

  it("rpm: name, epoch, version, release and architecture of a header", () => {
    const header = rpmHeader([
      [1000, 6, "openssl"],
      [1001, 6, "3.0.7"],
      [1002, 6, "27.el9"],
      [1003, 4, 1],
      [1022, 6, "x86_64"],
    ]);
    expect(parseRpmHeader(header)).toEqual(["openssl:x86_64", "1:3.0.7-27.el9"]);
    expect(
      parseRpmHeader(
        rpmHeader([
          [1000, 6, "gpg-pubkey"],
          [1001, 6, "1"],
        ]),
      ),
    ).toBeUndefined();
  });

  it.each([
    [[]],
    [[0, 0, 0, 1]],
    [[255, 255, 255, 255, 0, 0, 0, 0]],
    [[0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 3, 232]],
  ])("rpm: %j is no header", (bytes) => {
    expect(parseRpmHeader(new Uint8Array(bytes))).toBeUndefined();
  });

  it("are compared by name, with the architecture where a name has several", () => {
    const before = new Map([
      ["a:amd64", "1"],
      ["libc:amd64", "1"],
      ["libc:i386", "1"],
      ["old:all", "3"],
    ]);
    const after = new Map([
      ["a:amd64", "2"],
      ["libc:amd64", "1"],
      ["libc:i386", "2"],
      ["new:all", "1"],
    ]);
    expect(packageLines(diffPackages(before, after))).toEqual([
      "added new 1",
      "removed old 3",
      "changed a 1 → 2",
      "changed libc:i386 1 → 2",
    ]);
  });
});

function rpmHeader(
  entries: readonly (readonly [tag: number, type: number, value: string | number])[],
): Uint8Array {
  const data: number[] = [];
  const index = new DataView(new ArrayBuffer(entries.length * 16));
  entries.forEach(([tag, type, value], at) => {
    [tag, type, data.length, 1].forEach((word, field) => {
      index.setUint32(at * 16 + field * 4, word);
    });
    if (typeof value === "number") data.push(0, 0, 0, value);
    else data.push(...new TextEncoder().encode(`${value}\0`));
  });
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, entries.length);
  head.setUint32(4, data.length);
  return new Uint8Array([...new Uint8Array(head.buffer), ...new Uint8Array(index.buffer), ...data]);
}
