import { describe, expect, it } from "vitest";
import {
  type BundleConfig,
  hasUserNamespace,
  parseBundleConfig,
  rootOptions,
  rootPath,
} from "../../../src/request/oci-config.ts";

const parse = (document: unknown) => parseBundleConfig(JSON.stringify(document), "config.json");
const config = (more: object): BundleConfig =>
  parse({ ociVersion: "1.0.2", root: { path: "rootfs" }, ...more });

const refusal = (text: string) => {
  try {
    parseBundleConfig(text, "config.json");
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error("was taken");
};

describe("config.json", () => {
  it.each([
    ["", "BAD_DOCUMENT", /config.json is empty/],
    ["{", "BAD_DOCUMENT", /is not JSON/],
    ["[]", "BAD_DOCUMENT", /config.json/],
    ["{}", "BAD_DOCUMENT", /root/],
    ['{"root":{"path":7}}', "BAD_DOCUMENT", /root\/path|root\.path/],
    ['{"root":{"path":"a"},"root":{"path":"b"}}', "AMBIGUOUS_CONFIG", /all runtimes read alike/],
  ])("%j is refused", (text, code, message) => {
    const { code: given, message: said } = refusal(text);
    expect(given).toBe(code);
    expect(said).toMatch(message);
  });

  it("may hold what is not known, and null where the specification has a list", () => {
    expect(
      config({ hostname: "h", mounts: null, hooks: null, linux: { namespaces: null } }).mounts,
    ).toBeNull();
  });
});

describe("the root", () => {
  it.each([
    ["rootfs", "/b/rootfs"],
    ["./x/rootfs", "/b/./x/rootfs"],
    ["/var/rootfs", "/var/rootfs"],
  ])("%s of the bundle /b is %s", (path, expected) => {
    expect(rootPath(config({ root: { path } }), "/b")).toBe(expected);
  });

  it("has the options that a runtime applies at the end", () => {
    expect(rootOptions(config({}))).toEqual({ readonly: false, masked: [], readonlyPaths: [] });
    const full = config({
      root: { path: "r", readonly: true },
      process: { cwd: "/srv" },
      linux: { maskedPaths: ["/proc/kcore"], readonlyPaths: ["/proc/sys"] },
    });
    expect(rootOptions(full)).toEqual({
      readonly: true,
      cwd: "/srv",
      masked: ["/proc/kcore"],
      readonlyPaths: ["/proc/sys"],
    });
  });
});

describe("a user namespace", () => {
  const range = { containerID: 0, hostID: 100000, size: 65536 };
  it.each<[string, object, boolean]>([
    ["no linux section", {}, false],
    ["other namespaces", { linux: { namespaces: [{ type: "mount" }] } }, false],
    ["the namespace", { linux: { namespaces: [{ type: "user" }] } }, true],
    ["maps alone", { linux: { uidMappings: [range] } }, true],
    ["empty maps", { linux: { uidMappings: [] } }, false],
  ])("with %s: %s", (_, more, expected) => {
    expect(hasUserNamespace(config(more as object))).toBe(expected);
  });
});
