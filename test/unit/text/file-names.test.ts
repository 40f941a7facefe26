import { expect, it } from "vitest";
import { decodeName, encodeName, printablePath } from "../../../src/text/file-names.ts";

const bytes = (...list: number[]) => new Uint8Array(list);

it("reads UTF-8 as it is", () => {
  expect(decodeName(new TextEncoder().encode("größe 🐧"))).toBe("größe 🐧");
});

it.each([
  ["latin 1", bytes(0x67, 0x72, 0xf6, 0xdf, 0x65)],
  ["a sequence cut short", bytes(0x61, 0xe2, 0x82)],
  ["a stray continuation byte between characters", bytes(0xc3, 0xa4, 0x80, 0xc3, 0xa4)],
  ["a surrogate in UTF-8", bytes(0xed, 0xb2, 0x80)],
  ["an overlong slash", bytes(0xc0, 0xaf)],
  ["every byte that a name can hold", new Uint8Array(255).map((_, index) => index + 1)],
  ["a real replacement character", new TextEncoder().encode("a\ufffdb")],
  ["a byte order mark", bytes(0xef, 0xbb, 0xbf, 0x61)],
])("gives back the bytes of %s", (_, name) => {
  expect(encodeName(decodeName(name))).toEqual(name);
});

it("keeps a path on one line", () => {
  expect(printablePath(`/a\nb\\c\u001b[31m${decodeName(bytes(0xff))}ö`)).toBe("/a\\x0ab\\\\c\\x1b[31m\\xffö");
});
