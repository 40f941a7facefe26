/** Images of every make, by every name of theirs that needs no engine. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { addImage, tarOf } from "../helpers/image.ts";

const host = makeHost("/var/tmp");
const at = (name: string) => join(host.dir, name);
const LAYER = tarOf([
  { name: "etc/", type: "5" },
  { name: "etc/which", data: "image" },
]);

beforeAll(() => addImage(at("layout"), "one", [LAYER]));
afterAll(() => host.remove());

let count = 0;
/** What a base that is imported so has in etc/which. */
async function imported(source: string): Promise<string> {
  const id = `b${++count}`;
  await host.ok("base", "import", id, source);
  await host.ok("create", id, id, "--opaque", "none");
  const root = await host.ok("mount", id);
  const text = readFileSync(join(root, "etc/which"), "utf8");
  await host.ok("umount", id);
  return text;
}

const skopeo = (...args: string[]) => must("skopeo", ["copy", "-q", ...args]);
const digestOf = (text: string | Buffer) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const index = (layout: string) => JSON.parse(readFileSync(join(at(layout), "index.json"), "utf8"));

describe("an image", () => {
  it("in skopeo's directory, and by the digest of its manifest", async () => {
    await skopeo(`oci:${at("layout")}:one`, `dir:${at("dir")}`);
    expect(await imported(`dir:${at("dir")}`)).toBe("image");
    expect(await imported(`oci:${at("layout")}@${index("layout").manifests[0].digest}`)).toBe("image");
    expect(
      (await host.veneer("base", "import", "x", `oci:${at("layout")}@sha256:${"0".repeat(64)}`)).status,
    ).toBe(1);
  });

  it.each(["zstd", "zstd:chunked", "gzip"])("with layers compressed by %s", async (format) => {
    const layout = at(`by-${format.replace(":", "-")}`);
    await skopeo("--dest-compress-format", format, `oci:${at("layout")}:one`, `oci:${layout}:one`);
    expect(await imported(`oci:${layout}`)).toBe("image");
  });

  it("with an attestation beside it", async () => {
    addImage(at("attested"), "latest", [LAYER]);
    const file = join(at("attested"), "index.json");
    const [image] = index("attested").manifests;
    const statement = JSON.stringify({
      schemaVersion: 2,
      mediaType: image.mediaType,
      config: image,
      layers: [],
    });
    writeFileSync(join(at("attested"), "blobs/sha256", digestOf(statement).slice(7)), statement);
    const attestation = {
      mediaType: image.mediaType,
      digest: digestOf(statement),
      size: statement.length,
      platform: { os: "unknown", architecture: "unknown" },
      annotations: {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.digest,
      },
    };
    const { annotations: _, ...plain } = image;
    writeFileSync(file, JSON.stringify({ schemaVersion: 2, manifests: [attestation, plain] }));
    expect(await imported(`oci:${at("attested")}`)).toBe("image");
  });

  it("without layers becomes a base that is empty", async () => {
    addImage(at("empty"), "latest", []);
    expect(await host.veneer("base", "import", "empty", `oci:${at("empty")}`)).toMatchObject({ status: 0 });
  });
});

describe("a source without its prefix is refused with what to write instead", () => {
  const refused = async (source: string, hint: string) =>
    expect(await host.veneer("base", "import", "x", source)).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining(hint),
    });

  it("a layout, skopeo's directory, what docker save writes, and a tar of a layout", async () => {
    await refused(at("layout"), `import it as oci:${at("layout")}`);
    await skopeo(`oci:${at("layout")}:one`, `docker-archive:${at("saved.tar")}:localhost/x:1`);
    await refused(at("saved.tar"), `import it as docker-archive:${at("saved.tar")}`);
    await skopeo(`oci:${at("layout")}:one`, `oci-archive:${at("layout.tar")}:one`);
    await refused(at("layout.tar"), `import it as oci-archive:${at("layout.tar")}`);
  });

  it("a tar in which everything is below one directory", async () => {
    mkdirSync(at("tree/rootfs/etc"), { recursive: true });
    mkdirSync(at("tree/rootfs/bin"));
    mkdirSync(at("tree/rootfs/usr"));
    await must("tar", ["-C", at("tree"), "-cf", at("one-top.tar"), "rootfs"]);
    await refused(at("one-top.tar"), "rootfs");
  });
});
