import { describe, expect, it } from "vitest";
import { matchesGlob } from "../../../src/text/glob.ts";

describe("matchesGlob", () => {
  it.each([
    ["*", "", true],
    ["ssh_host_*_key", "ssh_host_rsa_key", true],
    ["ssh_host_*_key", "ssh_host_rsa_key.pub", false],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["*a*b", "xxaxxbxab", true],
    ["deb.an", "debian", false],
    ["debian", "debian", true],
    ["debian", "debian2", false],
  ])("%s against %s is %s", (pattern, text, expected) => {
    expect(matchesGlob(pattern, text)).toBe(expected);
  });

  it("takes no long time for a hostile pattern", () => {
    const start = performance.now();
    expect(matchesGlob(`${"*a".repeat(60)}b`, "a".repeat(255))).toBe(false);
    expect(performance.now() - start).toBeLessThan(500);
  });
});
