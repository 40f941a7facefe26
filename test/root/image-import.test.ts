import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { addImage, type TarEntry, tarOf } from "../helpers/image.ts";

const host = makeHost();
afterAll(() => host.remove());

let count = 0;
const layout = () => join(host.dir, `lay out:${++count}`);
const image = (...layers: TarEntry[][]) => addImage(layout(), "t", layers.map(tarOf));
const store = (kind: string) => readdirSync(join(host.root, kind));
const layers = async (name: string): Promise<{ id: string; path: string; digest: string }[]> =>
  JSON.parse(await host.ok("base", "show", name, "--json")).layers;
const opaque = async (path: string) =>
  (await sh("getfattr", ["--only-values", "-n", "trusted.overlay.opaque", path])).stdout;
const isWhiteout = (path: string) => lstatSync(path).isCharacterDevice() && lstatSync(path).rdev === 0;

async function refused(source: string, message: RegExp, status = 1): Promise<void> {
  const before = existsSync(host.root) ? [store("layers"), store("bases")] : [[], []];
  const outcome = await host.veneer("base", "import", "refused", source);
  expect(outcome.stderr).toMatch(message);
  expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
  expect(outcome).toMatchObject({ status, stdout: "" });
  expect([store("layers"), store("bases")]).toEqual(before);
  expect([store("staging"), store("trash")]).toEqual([[], []]);
}

describe("base import of an image", () => {
  it("makes a layer of each of its layers, and keeps what containers run with", async () => {
    const root = { name: "./", type: "5", mode: 0o711, mtime: 1_000_000_000 };
    const config = { Env: ["A=b c"], Entrypoint: ["/bin/sh"], Cmd: ["-c"], User: "1:2", WorkingDir: "/w" };
    const source = addImage(layout(), "t", [tarOf([root, { name: "a" }]), tarOf([root, { name: "b" }])], {
      config,
    });
    expect(await host.ok("base", "import", "web", source)).toBe("web@1");
    const [top, bottom] = await layers("web");
    expect(readdirSync(top?.path ?? "")).toEqual(["b"]);
    expect(readdirSync(bottom?.path ?? "")).toEqual(["a"]);
    expect(top?.id).toBe(top?.digest.replace(":", "-"));
    expect(lstatSync(top?.path ?? "")).toMatchObject({ mode: 0o40711, mtimeMs: 1e12, gid: 0 });
    expect(JSON.parse(await host.ok("base", "show", "web", "--json")).config).toEqual(config);
  });

  it("shares layers between bases, and unpacks only what is new", async () => {
    const root = { name: "./", type: "5" };
    const below = tarOf([root, { name: "shared" }]);
    await host.ok("base", "import", "one", addImage(layout(), "t", [below]));
    const before = store("layers");
    const dir = layout();
    const source = addImage(dir, "t", [below, tarOf([root, { name: "new" }])]);
    // what is not read needs not be there
    rmSync(join(dir, "blobs/sha256", blobsOf(dir)[0] ?? ""));
    await host.ok("base", "import", "two", source);
    expect(store("layers").filter((id) => !before.includes(id))).toHaveLength(1);
    expect((await layers("two"))[1]).toEqual((await layers("one"))[0]);
    await host.ok("base", "rm", "one");
    expect(readdirSync((await layers("two"))[1]?.path ?? "")).toEqual(["shared"]);
  });

  for (const compress of ["gzip", "zstd", "none"] as const) {
    it(`unpacks layers compressed with ${compress}`, async () => {
      const tar = tarOf([{ name: `f-${compress}`, data: "x".repeat(3_000_000) }]);
      await host.ok("base", "import", compress, addImage(layout(), "t", [tar], { compress }));
      const [layer] = await layers(compress);
      expect(lstatSync(join(layer?.path ?? "", `f-${compress}`)).size).toBe(3_000_000);
    });
  }

  it("translates whiteouts and opaque directories", async () => {
    await host.ok(
      "base",
      "import",
      "whiteouts",
      image(
        [
          { name: "etc/", type: "5" },
          { name: "etc/gone" },
          { name: "again" },
          { name: "d/x" },
          { name: "o/x" },
        ],
        [
          { name: "etc/", type: "5", mtime: 1_200_000_000 },
          { name: "etc/.wh.gone", mtime: 1_100_000_000 },
          // deleted and made again in the same layer, before and after
          { name: ".wh.again" },
          { name: "again", data: "new" },
          { name: "d/", type: "5" },
          { name: "d/y" },
          { name: ".wh.d" },
          { name: "o/", type: "5" },
          { name: "o/y" },
          { name: "o/.wh..wh..opq" },
          { name: ".wh..wh.plnk", type: "5" },
          { name: ".wh..wh.plnk/1.2" },
        ],
      ),
    );
    const path = (await layers("whiteouts"))[0]?.path ?? "";
    expect(readdirSync(path).sort()).toEqual(["again", "d", "etc", "o"]);
    expect(isWhiteout(join(path, "etc/gone"))).toBe(true);
    expect(lstatSync(join(path, "etc/gone")).mtimeMs).toBe(1.1e12);
    expect(lstatSync(join(path, "etc")).mtimeMs).toBe(1.2e12);
    expect(readFileSync(join(path, "again"), "utf8")).toBe("new");
    expect([await opaque(join(path, "d")), await opaque(join(path, "o"))]).toEqual(["y", "y"]);
    expect([readdirSync(join(path, "d")), readdirSync(join(path, "o"))]).toEqual([["y"], ["y"]]);
    const at = join(host.dir, "merged");
    mkdirSync(at);
    await host.ok("create", "whiteouts", "whiteouts", "--opaque", "none");
    await host.ok("mount", "whiteouts", at);
    expect(readdirSync(at, { recursive: true }).sort()).toEqual(["again", "d", "d/y", "etc", "o", "o/y"]);
    await host.ok("umount", "whiteouts");
    await host.ok("rm", "whiteouts");
  });

  it("deletes what came along with a hard link where the same layer deletes it, and no entry", async () => {
    const below = [{ name: "d/a" }, { name: "d/b" }, { name: "e/a" }, { name: "o/a" }, { name: "o/b" }];
    const above = [
      { name: "one", type: "1", link: "d/a" },
      { name: "two", type: "1", link: "e/a" },
      { name: "three", type: "1", link: "o/a" },
      { name: "four", type: "1", link: "d/b" },
      { name: "d/.wh.a" },
      { name: ".wh.e" },
      { name: "o/.wh..wh..opq" },
      { name: "d/b", data: "an entry of its own" },
      { name: "d/.wh.b" },
    ];
    await host.ok("base", "import", "along", image(below, above));
    await host.ok("create", "along", "along", "--opaque", "none");
    const at = await host.ok("mount", "along");
    expect(readdirSync(at, { recursive: true }).sort()).toEqual([
      "d",
      "d/b",
      "four",
      "o",
      "one",
      "three",
      "two",
    ]);
    await host.ok("umount", "along");
    await host.ok("rm", "along");
  });

  it("gives what is implied in a set-group-ID directory its group", async () => {
    const entries = [{ name: "s/", type: "5", mode: 0o2755, uid: 7 }, { name: "s/implied/deep/file" }];
    await host.ok("base", "import", "group", image(entries, [{ name: "s/later/file" }]));
    await host.ok("create", "group", "group", "--opaque", "none");
    const at = await host.ok("mount", "group");
    const modes = ["s/implied", "s/implied/deep", "s/later"].map(
      (path) => lstatSync(join(at, path)).mode & 0o7777,
    );
    expect(modes).toEqual([0o2755, 0o2755, 0o2755]);
    await host.ok("umount", "group");
    await host.ok("rm", "group");
  });

  it("gives directories without an entry of their own what the layers below have", async () => {
    const below = [
      { name: "./", type: "5", mode: 0o711, mtime: 1_000_000_001 },
      { name: "tmp/", type: "5", mode: 0o1777, uid: 7, mtime: 1_000_000_002 },
    ];
    await host.ok("base", "import", "implied", image(below, [{ name: "tmp/x/y" }]));
    const [top] = await layers("implied");
    expect(top?.id).toMatch(/^chain-/);
    expect(lstatSync(top?.path ?? "")).toMatchObject({
      mode: 0o40711,
      uid: 0,
      gid: 0,
      mtimeMs: 1_000_000_001e3,
    });
    const tmp = lstatSync(join(top?.path ?? "", "tmp"));
    expect(tmp).toMatchObject({ mode: 0o41777, uid: 7, gid: 0, mtimeMs: 1_000_000_002e3 });
    expect(lstatSync(join(top?.path ?? "", "tmp/x"))).toMatchObject({ mode: 0o40755, uid: 0, gid: 0 });
  });

  it("takes a layer that occurs twice once, and drops what is below an opaque root", async () => {
    const root = { name: "./", type: "5" };
    const twice = tarOf([root, { name: "twice" }]);
    const between = tarOf([root, { name: ".wh.twice" }]);
    await host.ok("base", "import", "twice", addImage(layout(), "t", [twice, between, twice]));
    expect((await layers("twice")).map(({ path }) => readdirSync(path))).toEqual([["twice"], ["twice"]]);
    const cleared = tarOf([root, { name: ".wh..wh..opq" }, { name: "all" }]);
    await host.ok("base", "import", "cleared", addImage(layout(), "t", [twice, cleared]));
    expect((await layers("cleared")).map(({ path }) => readdirSync(path))).toEqual([["all"]]);
  });

  it("takes the image for this machine out of several, and says when there is none", async () => {
    const dir = layout();
    const own = process.arch === "x64" ? "amd64" : "arm64";
    addImage(dir, "foreign", [tarOf([{ name: "foreign" }])], { architecture: "s390x" });
    addImage(dir, "own", [tarOf([{ name: "own" }])], { architecture: own });
    addImage(dir, "later", [tarOf([{ name: "later" }])], { architecture: own });
    const path = join(dir, "index.json");
    const [foreign, ours, later] = JSON.parse(readFileSync(path, "utf8")).manifests;
    const publish = (manifests: object[]) => {
      const text = JSON.stringify({ schemaVersion: 2, manifests });
      const digest = createHash("sha256").update(text).digest("hex");
      writeFileSync(join(dir, "blobs/sha256", digest), text);
      const mediaType = "application/vnd.oci.image.index.v1+json";
      const entry = { mediaType, digest: `sha256:${digest}`, size: text.length };
      writeFileSync(path, JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
    };
    const on = (entry: object, architecture: string) => ({
      ...entry,
      platform: { os: "linux", architecture },
    });
    const taken = async (id: string, tag = "") => {
      await host.ok("base", "import", id, `oci:${dir}${tag}`);
      return readdirSync((await layers(id))[0]?.path ?? "");
    };
    publish([on(foreign, "s390x"), on(ours, own), { ...foreign, platform: { os: "unknown" } }]);
    expect(await taken("several")).toEqual(["own"]);
    publish([on(foreign, "s390x"), on(ours, own), on(later, own)]);
    expect(await taken("equal")).toEqual(["own"]);
    const tagged = (entry: typeof ours) => ({ ...entry, annotations: ours.annotations });
    writeFileSync(path, JSON.stringify({ schemaVersion: 2, manifests: [foreign, ours, later].map(tagged) }));
    expect(await taken("tagged", ":own")).toEqual(["own"]);
    publish([on(foreign, "s390x")]);
    await refused(`oci:${dir}`, /not for linux\/.*; hint: it is for 'linux\/s390x'/);
    const { annotations: _, ...untagged } = foreign;
    writeFileSync(path, JSON.stringify({ schemaVersion: 2, manifests: [untagged] }));
    const outcome = await host.veneer("base", "import", "several", `oci:${dir}`);
    expect(outcome).toMatchObject({ status: 0, stdout: "several@2" });
    expect(outcome.stderr).toMatch(/image is for 's390x', this machine is not/);
  });

  it("reads an archive of a layout, and what docker save writes", async () => {
    const dir = layout();
    const source = addImage(dir, "t:1", [tarOf([{ name: "./", type: "5" }, { name: "x" }])]);
    const archive = join(host.dir, "arch:ive.tar");
    await must("tar", ["-C", dir, "-cf", archive, "--force-local", "."]);
    await host.ok("base", "import", "archive", `oci-archive:${archive}`);
    await host.ok("base", "import", "archive", `oci-archive:${archive}:t:1`);
    expect((await layers("archive"))[0]?.id).toMatch(/^sha256-/);
    const plain = join(host.dir, "plain");
    await must("cp", ["-r", dir, plain]);
    const docker = join(host.dir, "docker.tar");
    await must("skopeo", ["copy", `oci:${plain}:t:1`, `docker-archive:${docker}:example.org/x:1`]);
    await must("mv", [docker, join(host.dir, "dock:er.tar")]);
    await host.ok("base", "import", "docker", `docker-archive:${join(host.dir, "dock:er.tar")}`);
    expect((await layers("docker"))[0]?.id).toBe((await layers("archive"))[0]?.id);
    expect(source).toMatch(/^oci:/);
  });
});

describe("base import of an image that is damaged", () => {
  it("names what is missing or wrong in one line, and leaves nothing behind", async () => {
    const tar = tarOf([{ name: "damaged", data: "y".repeat(10_000) }]);
    const make = (change: (blob: string) => void) => {
      const dir = layout();
      const source = addImage(dir, "t", [tar]);
      change(join(dir, "blobs/sha256", blobsOf(dir)[0] ?? ""));
      return source;
    };
    await refused(`${image([])}x`, /no image is tagged 'tx'; hint: it holds 't'/);
    await refused(
      make((blob) => rmSync(blob)),
      /layer 1 of 1: blob sha256:.* is missing; hint/,
    );
    await refused(
      make((blob) => appendFileSync(blob, "x")),
      /has [0-9]+ bytes instead of [0-9]+; hint/,
    );
    await refused(
      make((blob) => writeFileSync(blob, readFileSync(blob).fill(1, 30, 31))),
      /content of sha256:.* does not match/,
    );
    await refused(
      make((blob) => replace(blob, ["ln", "-s", "/etc/shadow"])),
      /layer 1 of 1: .*ELOOP|blob/,
    );
    await refused(
      make((blob) => replace(blob, ["mkfifo"])),
      /is not a file/,
    );
    const lie = addImage(layout(), "t", [tar], { diffIds: [`sha256:${"0".repeat(64)}`] });
    await refused(lie, /layer 1 of 1: content of sha256:0{64} does not match/);
    await refused(addImage(layout(), "t", [tar], { diffIds: [] }), /manifest has 1 layers, the config 0/);
    const none = layout();
    addImage(none, "t", [tar]);
    writeFileSync(join(none, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [] }));
    await refused(`oci:${none}`, /the layout holds no image \[NO_IMAGE\]$/);
    const elsewhere = layout();
    addImage(elsewhere, "t", [tar]);
    rename(elsewhere, "sha256:../../../../etc/passwd");
    await refused(`oci:${elsewhere}`, /digest 'sha256:.*passwd' is not one of sha256/);
    await refused(
      addImage(layout(), "t", [Buffer.from("no tar")]),
      /layer 1 of 1: this does not look like a tar archive; hint/,
    );
    const cut = tar.subarray(0, 5000);
    await refused(addImage(layout(), "t", [cut]), /layer 1 of 1: the archive ends in the middle/);
    await refused(`oci:${host.dir}/missing:t`, /no such file or directory: .*missing:t'/);
    await refused(`oci:${host.dir}`, /is not an OCI image layout: it has no index.json/);
    await refused(`docker-archive:${host.bin}/veneer`, /skopeo failed/);
    await refused("docker://127.0.0.1:1/x", /skopeo failed .*refused/);
    await refused("oci:", /names no image/, 2);
  });

  it("says so when the store is full, and leaves nothing behind", async () => {
    const small = join(host.dir, "small");
    mkdirSync(small);
    await must("mount", ["-t", "tmpfs", "-o", "size=4m", "none", small]);
    try {
      const source = image([{ name: "big", data: "z".repeat(8 << 20) }]);
      const outcome = await host.veneer("--root", join(small, "store"), "base", "import", "big", source);
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).toMatch(
        /layer 1 of 1: write to the store: ENOSPC: No space left on device.*hint: .*veneer gc/,
      );
      for (const kind of ["staging", "layers", "bases", "trash"]) {
        expect(readdirSync(join(small, "store", kind))).toEqual([]);
      }
    } finally {
      await must("umount", [small]);
    }
  });
});

describe("base import of an image that is interrupted", () => {
  it("cleans up", async () => {
    const source = image([{ name: "zeros", data: "\0".repeat(128 << 20) }]);
    const before = [store("layers"), store("bases")];
    const script = `"$1" base import slow "$2" & pid=$!; until [ -e "$3"/staging/*/0 ]; do sleep 0.01; done; kill -TERM $pid; wait $pid`;
    const outcome = await sh("sh", ["-c", script, "sh", join(host.bin, "veneer"), source, host.root]);
    expect(outcome.stderr).toMatch(/layer 1 of 1: interrupted by SIGTERM/);
    expect(outcome.status).toBe(1);
    expect([store("layers"), store("bases")]).toEqual(before);
    expect([store("staging"), store("trash")]).toEqual([[], []]);
  });
});

describe("base import of an image that is hostile", () => {
  const outside = join(host.dir, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "file"), "untouched");

  const untouched = () => {
    expect(readdirSync(outside)).toEqual(["file"]);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("untouched");
    expect(lstatSync(join(outside, "file"))).toMatchObject({ nlink: 1, mode: 0o100644 });
    expect(existsSync(join(host.root, "layers/evil"))).toBe(false);
  };

  const confined: Record<string, TarEntry[]> = {
    "names with ..": [{ name: "../evil" }, { name: "a/../../../evil" }],
    "a file through a link to the outside": [
      { name: "l", type: "2", link: outside },
      { name: "l/new" },
      { name: "l/file", data: "other" },
    ],
    "a file through a relative link to the outside": [
      { name: "l", type: "2", link: "../../../../outside" },
      { name: "l/new" },
    ],
    "a whiteout through a link": [{ name: "l", type: "2", link: outside }, { name: "l/.wh.file" }],
    "an opaque marker through a link": [{ name: "l", type: "2", link: outside }, { name: "l/.wh..wh..opq" }],
    "a link that takes the place of a directory": [
      { name: "d/", type: "5" },
      { name: "d", type: "2", link: outside },
      { name: "d/new" },
    ],
    "a directory that takes the place of a link": [
      { name: "l", type: "2", link: outside },
      { name: "l/", type: "5", mode: 0o777 },
    ],
    "a file that takes the place of a link": [
      { name: "l", type: "2", link: `${outside}/file` },
      { name: "l", data: "other" },
    ],
  };
  for (const [what, entries] of Object.entries(confined)) {
    it(`keeps ${what} inside of the root`, async () => {
      await host.ok("base", "import", "confined", image(entries));
      untouched();
    });
  }

  const hostile: Record<string, TarEntry[]> = {
    "a hard link to a file outside": [{ name: "h", type: "1", link: "../../../../outside/file" }],
    "a whiteout of the parent": [{ name: "d/", type: "5" }, { name: "d/.wh..." }],
    "a whiteout of the directory": [{ name: "d/", type: "5" }, { name: "d/.wh.." }],
    "a whiteout of nothing": [{ name: ".wh." }],
    "a file below a file": [{ name: "f" }, { name: "f/g" }],
    "a root that is a link": [{ name: "./", type: "2", link: outside }],
    "links that lead to each other": [
      { name: "a", type: "2", link: "b" },
      { name: "b", type: "2", link: "a" },
      { name: "a/c" },
    ],
  };
  for (const [what, entries] of Object.entries(hostile)) {
    it(`refuses ${what}`, async () => {
      await refused(image(entries), /layer 1 of 1: /);
      untouched();
    });
  }

  it("keeps absolute names and links inside, and gives no overlay attributes of its own", async () => {
    const source = image([
      { name: `${outside}/file`, data: "inside" },
      { name: "shadow", type: "2", link: "/etc/shadow" },
      { name: "dup", data: "1" },
      { name: "dup", type: "5" },
      { name: "dev", type: "3" },
    ]);
    await host.ok("base", "import", "absolute", source);
    untouched();
    const path = (await layers("absolute"))[0]?.path ?? "";
    expect(readFileSync(join(path, outside, "file"), "utf8")).toBe("inside");
    expect(lstatSync(join(path, "dup")).isDirectory()).toBe(true);
    expect(lstatSync(join(path, "dev")).rdev).toBe(0x103);
    const tree = join(host.dir, "xattrs");
    mkdirSync(join(tree, "d"), { recursive: true });
    await must("setfattr", ["-n", "trusted.overlay.redirect", "-v", "/etc", join(tree, "d")]);
    const tar = execFileSync("tar", ["--xattrs", "--xattrs-include=*", "-C", tree, "-c", "."]);
    expect(tar.includes("trusted.overlay.redirect")).toBe(true);
    await host.ok("base", "import", "xattrs", addImage(layout(), "t", [tar]));
    const d = join((await layers("xattrs"))[0]?.path ?? "", "d");
    expect((await must("getfattr", ["-d", "-m", "-", d])).trim()).toBe("");
  });
});

/** The layers' blobs of the image in a layout, bottom first. */
function blobsOf(dir: string): string[] {
  const read = (name: string) => JSON.parse(readFileSync(join(dir, name), "utf8"));
  const blob = (digest: string) => `blobs/sha256/${digest.slice(7)}`;
  const manifest = read(blob(read("index.json").manifests[0].digest));
  return manifest.layers.map(({ digest }: { digest: string }) => digest.slice(7));
}

function replace(path: string, [program = "", ...args]: string[]): void {
  rmSync(path);
  execFileSync(program, [...args, path]);
}

/** Gives the first layer of the image in a layout another digest; manifest and index are right. */
function rename(dir: string, digest: string): void {
  const index = JSON.parse(readFileSync(join(dir, "index.json"), "utf8"));
  const blobs = join(dir, "blobs/sha256");
  const manifest = JSON.parse(readFileSync(join(blobs, index.manifests[0].digest.slice(7)), "utf8"));
  manifest.layers[0].digest = digest;
  const text = JSON.stringify(manifest);
  const hash = createHash("sha256").update(text).digest("hex");
  writeFileSync(join(blobs, hash), text);
  Object.assign(index.manifests[0], { digest: `sha256:${hash}`, size: text.length });
  writeFileSync(join(dir, "index.json"), JSON.stringify(index));
}
