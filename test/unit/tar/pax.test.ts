import { describe, expect, it } from "vitest";
import { parsePax, paxNumber, paxText, paxTime, paxXattrs } from "../../../src/tar/pax.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const line = (key: string, value: string) => {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return `${length}${rest}`;
};
const parse = (...pairs: [string, string][]) => parsePax(bytes(pairs.map(([k, v]) => line(k, v)).join("")));

describe("records of an extended header", () => {
  it("hold anything, lines and equals signs too", () => {
    expect(paxText(parse(["path", "a=b\nc"]), "path")).toBe("a=b\nc");
  });

  it("are taken back by an empty one", () => {
    expect(paxText(parse(["path", ""]), "path")).toBeUndefined();
  });

  it.each(["7 a=b", "99 a=b\n", "6 a=b\nrest", "x a=b\n", "5 a\n\n"])("%j is refused", (text) => {
    expect(() => parsePax(bytes(text))).toThrow(expect.objectContaining({ code: "BAD_TAR" }));
  });

  it.each([
    ["0", 0],
    ["-5", -5],
    ["9007199254740991", 9007199254740991],
  ])("%s is a number", (text, value) => {
    expect(paxNumber(parse(["size", text]), "size")).toBe(value);
  });

  it.each(["1.5", "0x10", "9007199254740993", "ten"])("%s is no number", (text) => {
    expect(() => paxNumber(parse(["size", text]), "size")).toThrow(/is not a number/);
  });

  it.each([
    ["1300000000", 1_300_000_000n, 0],
    ["1.5", 1n, 500_000_000],
    ["1.0000000019", 1n, 1],
    ["-1.25", -2n, 750_000_000],
    ["-3", -3n, 0],
  ])("%s is a time", (text, seconds, nanoseconds) => {
    expect(paxTime(parse(["mtime", text]), "mtime")).toEqual({ seconds, nanoseconds });
  });

  it("have attributes in the form of star and in that of libarchive", () => {
    const found = paxXattrs(
      parse(["SCHILY.xattr.user.a%3Db", "raw"], ["LIBARCHIVE.xattr.user.c%20d", "aGk="], ["path", "x"]),
    );
    expect([...found].map(([name, value]) => [name, new TextDecoder().decode(value)])).toEqual([
      ["user.c d", "hi"],
      ["user.a=b", "raw"],
    ]);
  });
});
