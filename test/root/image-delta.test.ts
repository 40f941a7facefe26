/** Imports of images that differ from the current version of a base in nothing, or in a little. */
import { mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { must } from "../helpers/host.ts";
import { addImage, type ImageOptions, type TarEntry, tarOf } from "../helpers/image.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();

let count = 0;
const image = (layers: readonly TarEntry[][], options: ImageOptions = {}) =>
  addImage(join(host.dir, `layout${++count}`), "t", layers.map(tarOf), options);
const show = async (ref: string) => JSON.parse(await host.ok("base", "show", ref, "--json"));
const layers = async (ref: string): Promise<{ id: string; path: string }[]> => (await show(ref)).layers;
const stored = () => readdirSync(join(host.root, "layers")).length;
const paths = async (directory: string) =>
  (await must("find", [directory, "-mindepth", "1", "-printf", "%P\n"])).split("\n").sort();

/** What a version shows, unpacked. */
async function unpacked(ref: string): Promise<string> {
  const directory = mkdtempSync(join(host.dir, "unpacked-"));
  await host.ok("base", "export", ref, `${directory}.tar`);
  await must("tar", ["--xattrs", "--xattrs-include=*", "-C", directory, "-xpf", `${directory}.tar`]);
  return directory;
}

const ROOT: TarEntry = { name: "./", type: "5" };
/** Files of 64 KiB, which no two builds compress alike. */
const bulk = (directory: string, mtime = 1_300_000_000): TarEntry[] => [
  { name: `${directory}/`, type: "5", mtime },
  ...Array.from({ length: 20 }, (_, n) => ({
    name: `${directory}/${n}`,
    data: `${directory} ${n} `.padEnd(65_536, "x"),
    mtime,
  })),
];
const SYSTEM = [ROOT, ...bulk("usr")];
const CONFIG = { Env: ["A=1"], Cmd: ["/bin/app"] };

describe("base import of an image that differs from the current version", () => {
  it("in nothing publishes no version: not of the same image, nor of another build of the same tree", async () => {
    const app: TarEntry[] = [ROOT, ...bulk("app")];
    const source = image([SYSTEM, app], { config: CONFIG });
    expect(await host.ok("base", "import", "same", source)).toBe("same@1");
    const before = stored();
    const again = await host.veneer("base", "import", "same", source);
    expect(again).toMatchObject({ status: 0, stdout: "same@1" });
    expect(again.stderr).toContain("no version was published");
    // one layer in place of two, with other times
    const squashed = image([[...SYSTEM, ...bulk("app", 1_400_000_000)]], { config: CONFIG });
    expect(await host.ok("base", "import", "same", squashed, "--json")).toBe(
      '{"name":"same","version":1,"published":false}',
    );
    expect(stored()).toBe(before);
    expect(readdirSync(join(host.root, "staging"))).toEqual([]);
    expect(await host.ok("base", "import", "same", source, "--always")).toBe("same@2");
    expect((await layers("same@2")).map(({ id }) => id)).toEqual(
      (await layers("same@1")).map(({ id }) => id),
    );
  });

  it("in its configuration alone publishes a version on the same layers", async () => {
    await host.ok("base", "import", "config", image([SYSTEM], { config: CONFIG }));
    const before = stored();
    const other = image([SYSTEM], { config: { ...CONFIG, Cmd: ["/bin/other"] } });
    expect(await host.ok("base", "import", "config", other)).toBe("config@2");
    expect((await show("config@2")).config).toMatchObject({ Cmd: ["/bin/other"] });
    expect((await layers("config@2")).map(({ id }) => id)).toEqual(
      (await layers("config@1")).map(({ id }) => id),
    );
    expect(stored()).toBe(before);
  });

  it("in a little gets a layer of that alone, and shows the image", async () => {
    const build = (...more: TarEntry[]) => image([[...SYSTEM, ...more]], { config: CONFIG });
    const old: TarEntry[] = [
      { name: "etc/", type: "5" },
      { name: "etc/kept", data: "kept" },
      { name: "etc/gone", data: "gone" },
      { name: "etc/changed", data: "old" },
    ];
    await host.ok("base", "import", "little", build(...old));
    const next: TarEntry[] = [
      { name: "etc/", type: "5" },
      { name: "etc/kept", data: "kept" },
      { name: "etc/changed", data: "new" },
      { name: "etc/new", data: "new", mode: 0o600, uid: 7 },
    ];
    expect(await host.ok("base", "import", "little", build(...next))).toBe("little@2");
    const [top, ...below] = await layers("little@2");
    expect(below.map(({ id }) => id)).toEqual((await layers("little@1")).map(({ id }) => id));
    expect(await paths(top?.path ?? "")).toEqual(["etc", "etc/changed", "etc/gone", "etc/new"]);
    const tree = await unpacked("little@2");
    expect(readdirSync(join(tree, "etc")).sort()).toEqual(["changed", "kept", "new"]);
    expect(readFileSync(join(tree, "etc/changed"), "utf8")).toBe("new");
    expect(statSync(join(tree, "etc/new"))).toMatchObject({ mode: 0o100600, uid: 7 });
    expect(readdirSync(join(tree, "usr")).length).toBe(20);
    expect((await show("little@2")).config).toMatchObject(CONFIG);
    expect(await host.veneer("base", "verify", "little@2")).toMatchObject({ status: 0 });
    // and back, as a candidate: nothing moves, and what it stands on is the current version
    expect(await host.ok("base", "import", "little", build(...old), "--candidate")).toBe("little@3");
    expect(readdirSync(join(await unpacked("little@3"), "etc")).sort()).toEqual(["changed", "gone", "kept"]);
    expect((await show("little")).version).toBe(2);
  });

  it("by a small layer of its own keeps that, which others share by its digest", async () => {
    const above = (data: string): TarEntry[] => [
      ROOT,
      { name: "etc/", type: "5" },
      { name: "etc/app", data },
    ];
    await host.ok("base", "import", "shared", image([SYSTEM, above("1")]));
    await host.ok("base", "import", "shared", image([SYSTEM, above("2")]));
    await host.ok("base", "import", "neighbour", image([SYSTEM, above("2")]));
    const ids = async (ref: string) => (await layers(ref)).map(({ id }) => id);
    expect((await ids("shared@2"))[1]).toBe((await ids("shared@1"))[1]);
    expect(await ids("neighbour@1")).toEqual(await ids("shared@2"));
  });

  it("in much, or with --whole, keeps the image's own layers", async () => {
    await host.ok("base", "import", "much", image([SYSTEM]));
    const other = image([[ROOT, ...bulk("usr").map((entry) => ({ ...entry, mode: 0o700 }))]]);
    expect(await host.ok("base", "import", "much", other)).toBe("much@2");
    expect((await layers("much@2")).length).toBe(1);
    const near = image([[...SYSTEM, { name: "little", data: "x" }]]);
    expect(await host.ok("base", "import", "much", near, "--whole")).toBe("much@3");
    expect((await layers("much@3")).length).toBe(1);
  });

  it("without layers, or with an opaque root, is imported as it is", async () => {
    await host.ok("base", "import", "odd", image([SYSTEM]));
    const opaque: TarEntry[] = [ROOT, { name: ".wh..wh..opq" }, { name: "only", data: "1" }];
    expect(await host.ok("base", "import", "odd", image([SYSTEM, opaque]))).toBe("odd@2");
    expect(readdirSync(await unpacked("odd@2"))).toEqual(["only"]);
    expect(await host.ok("base", "import", "odd", image([[...SYSTEM], opaque]))).toBe("odd@2");
    expect(await host.ok("base", "import", "odd", image([]))).toBe("odd@3");
    expect(readdirSync(await unpacked("odd@3"))).toEqual([]);
  });
});
