import { describe, expect, test } from "vitest";
import { checkName, displayName, isPlainName, parseBaseRef } from "../../../src/text/names.ts";

describe("isPlainName", () => {
  test.each(["web1", "Web.1_x+y-z", "..x", "x".repeat(1024)])("takes %j", (name) => {
    expect(isPlainName(name)).toBe(true);
  });
  test.each(["", ".", "..", "-x", "--base=b", "a b", "a/b", "a;b", "$(x)", "a\nb", "ü", "x".repeat(1025)])(
    "refuses %j",
    (name) => {
      expect(isPlainName(name)).toBe(false);
    },
  );
});

describe("displayName", () => {
  test("leaves a harmless name as it is", () => {
    expect(displayName("/var/lib/lxc/web-1/config")).toBe("/var/lib/lxc/web-1/config");
  });
  test.each([
    ["a b", "'a b'"],
    ["esc\u001b[2J", "'esc\\x1b[2J'"],
    ["", "''"],
  ])("quotes %j", (name, shown) => {
    expect(displayName(name)).toBe(shown);
  });
});

describe("names that reach the store", () => {
  test.each(["../x", "/", "X", "", ".hidden", "a/b", "a\n", "x".repeat(129)])("refuse %j", (name) => {
    expect(() => checkName("instance", name)).toThrow("instance name");
    expect(() => parseBaseRef(name)).toThrow("base name");
  });
  test.each([
    ["debian", { name: "debian" }],
    ["debian@3", { name: "debian", version: 3 }],
  ])("take %j", (text, ref) => {
    expect(parseBaseRef(text)).toEqual(ref);
  });
  test.each(["debian@", "debian@0", "debian@x", "debian@3@4", "debian@-1"])(
    "refuse the version of %j",
    (text) => {
      expect(() => parseBaseRef(text)).toThrow("names no version");
    },
  );
});
