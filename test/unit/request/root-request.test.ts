import { describe, expect, it } from "vitest";
import { mergeOptions, optionsOfProcess } from "../../../src/request/root-request.ts";

const NOTHING = { bases: [], instances: [] };
const CONFIG = {
  opaque: ["/tmp"],
  mask: ["/etc/secret"],
  runtimes: {},
  annotations: { bases: ["*"], instances: ["*"] },
  environment: { bases: ["deb*"], instances: [] },
  logFormat: "text",
  shiftedCopy: false,
  shareFiles: true,
} as const;

describe("a container's environment", () => {
  it("means nothing unless the configuration lists something", () => {
    expect(optionsOfProcess(["VENEER_BASE=debian"], NOTHING)).toBeUndefined();
  });

  it("names what the patterns match", () => {
    const env = ["PATH=/bin", "VENEER_BASE=debian@2", "VENEER_OPAQUE=none", "VENEER_UPPER=ephemeral"];
    expect(optionsOfProcess(env, CONFIG.environment)).toEqual({
      base: { name: "debian", version: 2 },
      opaque: [],
      persistent: false,
    });
    expect(() => optionsOfProcess(["VENEER_BASE=web"], CONFIG.environment)).toThrow("may not name 'web'");
    expect(() => optionsOfProcess(["VENEER_BASE=debian", "VENEER_INSTANCE=db"], CONFIG.environment)).toThrow(
      "VENEER_INSTANCE may not name 'db'",
    );
  });

  it("is refused where a variable has two values: programs disagree on which one counts", () => {
    for (const env of [
      ["VENEER_BASE=debian", "VENEER_BASE="],
      ["VENEER_BASE=", "VENEER_BASE=debian"],
    ]) {
      expect(() => optionsOfProcess(env, CONFIG.environment)).toThrow("VENEER_BASE occurs twice");
    }
    expect(optionsOfProcess(["VENEER_BASE=debian", "VENEER_BASE=debian"], CONFIG.environment)?.base).toEqual({
      name: "debian",
    });
  });

  it("may hold other programs' variables of that prefix, but no unknown key beside a base", () => {
    expect(optionsOfProcess(["VENEER_LICENCE=1", "VENEER_BASE="], CONFIG.environment)).toBeUndefined();
    expect(() => optionsOfProcess(["VENEER_BASE=debian", "VENEER_BSE=1"], CONFIG.environment)).toThrow(
      "unknown key",
    );
  });

  it("gives way to annotations, and masks add up", () => {
    const environment = { base: { name: "debian" }, mask: ["/a"], tmpfs: 1 };
    const annotations = { base: { name: "web" }, mask: ["/b"] };
    expect(mergeOptions({}, annotations, CONFIG, "c1", environment)).toMatchObject({
      base: { name: "web" },
      mask: ["/etc/secret", "/b", "/a"],
      tmpfs: 1,
    });
  });
});
