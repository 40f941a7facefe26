import { describe, expect, it } from "vitest";
import { parseConfigFile, settingsOf } from "../../../src/request/config.ts";

const places = { root: "/var/lib/veneer", run: "/run/veneer", config: "/etc/veneer/config.json" };
const settings = (file: object, options: object = {}) =>
  settingsOf(parseConfigFile(JSON.stringify(file), "config.json"), options, places);

describe("the configuration", () => {
  it("has defaults for everything", () => {
    expect(settings({})).toEqual({
      store: { root: "/var/lib/veneer", run: "/run/veneer" },
      config: {
        opaque: ["/tmp", "/root"],
        mask: [],
        runtimes: {},
        annotations: { bases: ["*"], instances: ["*"] },
        environment: { bases: [], instances: [] },
        logFormat: "text",
        shiftedCopy: false,
        shareFiles: true,
      },
      debug: false,
    });
  });

  it("loses to options, and wins over the usual places", () => {
    expect(settings({ root: "/a", run: "/b" }, { root: "/o", debug: true })).toMatchObject({
      store: { root: "/o", run: "/b" },
      debug: true,
    });
  });

  it("keeps the other half of what it says in part", () => {
    expect(settings({ annotations: { bases: ["web*"] } }).config.annotations).toEqual({
      bases: ["web*"],
      instances: ["*"],
    });
  });

  it("takes paths inside the container alone", () => {
    expect(settings({ mask: ["/etc//shadow/"] }).config.mask).toEqual(["/etc/shadow"]);
    expect(() => settings({ opaque: ["/../etc"] })).toThrow(/opaque path/);
  });

  it.each([
    [{ shiftedcopy: true }, /unknown key 'shiftedcopy'/, /did you mean shiftedCopy/],
    [{ annotations: { base: ["*"] } }, /unknown key 'annotations.base'/, /did you mean bases/],
    [{ qqqqqqqqqqqq: 1 }, /unknown key/, /known are root, run/],
  ])("%j is refused", (file, message, hint) => {
    expect(() => settings(file)).toThrow(expect.objectContaining({ hint: expect.stringMatching(hint) }));
    expect(() => settings(file)).toThrow(message);
  });

  it.each([{ root: "relative" }, { shiftedCopy: "yes" }, { logFormat: "xml" }])("%j is refused", (file) => {
    expect(() => settings(file)).toThrow(expect.objectContaining({ code: "BAD_DOCUMENT" }));
  });
});
