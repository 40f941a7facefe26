/** image-index.md of the image specification. */
import { machine } from "node:os";
import { describe, expect, it } from "vitest";
import {
  HOST_ARCHITECTURE,
  type IndexEntry,
  isAttestation,
  isIndex,
  pickForHost,
} from "../../../src/images/platform.ts";

/** What uname(2) calls a machine, and what GOARCH does. */
const GOARCH: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };
const FOREIGN = "s390x";

const entry = (digest: string, platform?: IndexEntry["platform"]): IndexEntry => ({
  digest,
  size: 1,
  ...(platform && { platform }),
});
const here = (digest: string, variant?: string) =>
  entry(digest, { os: "linux", architecture: HOST_ARCHITECTURE, ...(variant !== undefined && { variant }) });

describe("which documents are indexes", () => {
  it.each([
    ["application/vnd.oci.image.index.v1+json", true],
    ["application/vnd.docker.distribution.manifest.list.v2+json", true],
    ["application/vnd.oci.image.manifest.v1+json", false],
    ["application/vnd.docker.distribution.manifest.v2+json", false],
    [undefined, false],
  ])("%s: %s", (mediaType, expected) => {
    expect(isIndex({ digest: "sha256:0", size: 1, ...(mediaType !== undefined && { mediaType }) })).toBe(
      expected,
    );
  });
});

describe("the manifest for this machine", () => {
  it.runIf(machine() in GOARCH)("has the architecture that Go calls it", () => {
    expect(HOST_ARCHITECTURE).toBe(GOARCH[machine()]);
  });

  it("is the one of its system and architecture, wherever it stands", () => {
    const others = [
      entry("other", { os: "linux", architecture: FOREIGN }),
      entry("windows", { os: "windows", architecture: HOST_ARCHITECTURE }),
    ];
    expect(pickForHost([here("mine"), ...others]).digest).toBe("mine");
    expect(pickForHost([...others, here("mine")]).digest).toBe("mine");
  });

  it("is of the variants the one that every such machine runs", () => {
    expect(pickForHost([here("v3", "v3"), here("plain"), here("v2", "v2")]).digest).toBe("plain");
    expect(pickForHost([here("v3", "v3"), here("v1", "v1"), here("v2", "v2")]).digest).toBe("v1");
    expect(pickForHost([here("v3", "v3"), here("v2", "v2")]).digest).toBe("v2");
  });

  it("is the first of those that fit equally well", () => {
    expect(pickForHost([here("v2", "v2"), here("one"), here("two", "v1")]).digest).toBe("one");
    expect(pickForHost([entry("any"), entry("other")]).digest).toBe("any");
  });

  it("is never what buildx adds beside it", () => {
    const byAnnotation = {
      ...here("provenance"),
      annotations: { "vnd.docker.reference.type": "attestation-manifest" },
    };
    const byPlatform = entry("unknown", { os: "unknown", architecture: "unknown" });
    expect([byAnnotation, byPlatform, here("mine")].map(isAttestation)).toEqual([true, true, false]);
    expect(pickForHost([here("mine"), byAnnotation, byPlatform]).digest).toBe("mine");
    expect(pickForHost([byAnnotation, byPlatform, here("mine")]).digest).toBe("mine");
    expect(() => pickForHost([byAnnotation, byPlatform])).toThrow(
      expect.objectContaining({ hint: "its index holds no image" }),
    );
  });

  it("may have no platform, where no other entry fits", () => {
    const foreign = entry("foreign", { os: "linux", architecture: FOREIGN });
    expect(pickForHost([entry("any"), foreign]).digest).toBe("any");
    expect(pickForHost([entry("any"), here("mine")]).digest).toBe("mine");
  });

  it("is missing with what there is instead, each once", () => {
    const foreign = { os: "linux", architecture: FOREIGN };
    expect(() => pickForHost([entry("a", foreign), entry("b", foreign)])).toThrow(
      expect.objectContaining({
        message: `the image is not for linux/${HOST_ARCHITECTURE}`,
        hint: expect.stringMatching(/^it is for 'linux\/s390x'; /),
      }),
    );
  });
});
