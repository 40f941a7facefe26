import fc from "fast-check";
import { expect, test } from "vitest";
import { bytesOf, decode, encode, mapFields, mapOf, numberOf, textOf } from "../../../src/nri/protobuf.ts";

test("reads what it writes", () => {
  const number = fc.integer({ min: 1, max: 500 });
  const value = fc.oneof(fc.string(), fc.nat(2 ** 31 - 1), fc.uint8Array({ maxLength: 300 }));
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(number, value), { selector: ([one]) => one }), (fields) => {
      const read = decode(encode(fields));
      for (const [one, given] of fields) {
        if (typeof given === "string") expect(textOf(read, one)).toBe(given.toWellFormed());
        else if (typeof given === "number") expect(numberOf(read, one)).toBe(given);
        else expect(bytesOf(read, one)).toEqual(given);
      }
    }),
  );
});

test("reads maps, and passes over fields that it does not know", () => {
  const map = { "run.veneer.base": "debian", empty: "", "": "ä" };
  const known = encode(mapFields(6, map));
  // a fixed64, a fixed32 and a negative number, which takes ten bytes
  const unknown = [0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x55, 1, 2, 3, 4, 0x58, ...Array(9).fill(0xff), 1];
  expect(mapOf(decode(new Uint8Array([...unknown, ...known])), 6)).toEqual(map);
});

test.each([
  ["a length beyond its end", [0x0a, 5, 1]],
  ["a number without an end", [0x08, 0x80]],
  ["a group, which nobody uses", [0x0b]],
])("refuses %s", (_what, bytes) => {
  expect(() => decode(new Uint8Array(bytes))).toThrow("damaged");
});
