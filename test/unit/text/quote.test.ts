import { expect, it } from "vitest";
import { quote } from "../../../src/text/quote.ts";

it.each([
  ["debian", "'debian'"],
  ["it's", "'it\\'s'"],
  ["a\\b", "'a\\\\b'"],
  ["line\nbreak\ttab", "'line\\x0abreak\\x09tab'"],
  ["\u001b[31mred", "'\\x1b[31mred'"],
  ["\u009b0m", "'\\x9b0m'"],
  ["\u2028", "'\\x2028'"],
  ["ünïcode 漢字", "'ünïcode 漢字'"],
  ["", "''"],
])("%j is safe in one line as %s", (text, expected) => {
  expect(quote(text)).toBe(expected);
});

it("cuts what is long in the middle", () => {
  const quoted = quote(`${"a".repeat(150)}${"b".repeat(150)}`);
  expect(quoted).toBe(`'${"a".repeat(120)}…${"b".repeat(60)}'`);
});

it("takes bytes, also those that are not UTF-8", () => {
  expect(quote(new Uint8Array([0x61, 0xff, 0x62]))).toBe("'a\ufffdb'");
});
