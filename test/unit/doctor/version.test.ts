import { describe, expect, it } from "vitest";
import { isSound, not, ok } from "../../../src/doctor/check.ts";
import { engineFinding, isAtLeast, parseVersion } from "../../../src/doctor/version.ts";

describe("parseVersion", () => {
  it.each([
    ["runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev", [1, 1, 5]],
    ["crun version 1.8.1\ncommit: f8a096be060b22ccd3d5f3ebe44108517fbf6c30", [1, 8, 1]],
    ["5.0.2", [5, 0, 2]],
    ["containerd github.com/containerd/containerd v1.7.24~ds1 1.7.24~ds1-6", [1, 7, 24]],
    ["Docker version 20.10.24+dfsg1, build 5d6db84", [20, 10, 24]],
    ["6.18.44-fc-v669", [6, 18, 44]],
    ["no version", undefined],
    ["", undefined],
  ])("reads %j", (text, version) => {
    expect(parseVersion(text)).toEqual(version);
  });
});

it("compares versions number by number", () => {
  expect(isAtLeast([1, 10], [1, 9])).toBe(true);
  expect(isAtLeast([1, 9, 9], [1, 10])).toBe(false);
  expect(isAtLeast([2], [1, 99])).toBe(true);
  expect(isAtLeast([1, 2], [1, 2, 0])).toBe(true);
});

describe("engineFinding", () => {
  const host = { hybrid: false, mayTrace: true };

  it("sends a runc that must be followed to the wrapping runtime where nobody may trace", () => {
    const status = (version: string, mayTrace: boolean) =>
      engineFinding("runc", version.split(".").map(Number), { ...host, mayTrace }).status;
    for (const version of ["1.1.5", "1.2.9", "1.3.5", "1.4.0", "1.4.2"]) {
      expect(status(version, false)).toBe("ok");
    }
    for (const version of ["1.3.6", "1.3.10", "1.4.3", "1.5.0", "1.6.0", "2.0.0"]) {
      expect([version, status(version, true), status(version, false)]).toEqual([version, "ok", "limited"]);
    }
    expect(engineFinding("runc", [1, 5, 0], { ...host, mayTrace: false }).hint).toContain("veneer-runc");
  });

  it("knows that crun refuses control groups of both versions", () => {
    expect(engineFinding("crun", [1, 8, 1], host).status).toBe("ok");
    expect(engineFinding("crun", [1, 8, 1], { ...host, hybrid: true }).status).toBe("limited");
  });
});

describe("isSound", () => {
  const check = (required: boolean, finding: ReturnType<typeof ok>) =>
    ({ area: "kernel", name: "x", required, ...finding }) as const;

  it("fails for what is required and missing or unknown, and for nothing else", () => {
    expect(
      isSound([check(true, ok("")), check(false, not("missing", "")), check(true, not("limited", ""))]),
    ).toBe(true);
    expect(isSound([check(true, not("missing", ""))])).toBe(false);
    expect(isSound([check(true, not("unknown", ""))])).toBe(false);
  });
});
