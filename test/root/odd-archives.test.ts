/** Archives as few programs write them: read as other engines read them, or refused in one line. */
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { execaSync } from "execa";
import { afterAll, describe, expect, it } from "vitest";
import { makeHost } from "../helpers/host.ts";
import { addImage, type TarEntry, tarOf } from "../helpers/image.ts";
import { record } from "../helpers/layer-grammar.ts";

const host = makeHost("/var/tmp");
afterAll(() => host.remove());

const END = 1024;
/** Entries without the blocks of zeros at the end of an archive. */
const part = (...entries: TarEntry[]) => tarOf(entries).subarray(0, -END);
const pax = (...records: [string, string][]) =>
  part({ name: "PaxHeaders/x", type: "x", data: records.map(record).join("") });
const whole = (...parts: Buffer[]) => Buffer.concat([...parts, Buffer.alloc(END)]);

let count = 0;
/** The tree that a base of this archive has. */
async function imported(archive: Buffer, ...words: string[]): Promise<{ tree: string; notes: string }> {
  const file = join(host.dir, `${++count}.tar`);
  writeFileSync(file, archive);
  const { status, stderr } = await host.veneer("base", "import", `b${count}`, file, ...words);
  expect([status, stderr]).toEqual([0, expect.any(String)]);
  return { tree: (await topLayer(`b${count}`)) as string, notes: stderr };
}
const topLayer = async (name: string): Promise<string> =>
  JSON.parse(await host.ok("base", "show", name, "--json")).layers[0].path;

async function refused(archive: Buffer, message: RegExp): Promise<void> {
  const file = join(host.dir, `${++count}.tar`);
  writeFileSync(file, archive);
  const { status, stderr } = await host.veneer("base", "import", `b${count}`, file);
  expect([status, stderr]).toEqual([1, expect.stringMatching(message)]);
}

const TWO = tarOf([
  { name: "a", data: "1" },
  { name: "b", data: "x".repeat(3000) },
]);
const [FIRST, SECOND] = [TWO.subarray(0, 700), TWO.subarray(700)];
const by = (program: string, input: Buffer) =>
  Buffer.from(execaSync(program, ["-c"], { input, encoding: "buffer" }).stdout);
const SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
const zstd = (input: Buffer) => by("zstd", input);

describe("a compressed archive", () => {
  it.each([
    ["gzip in members", Buffer.concat([gzipSync(FIRST), gzipSync(SECOND)])],
    ["gzip with zeros behind it", Buffer.concat([gzipSync(TWO), Buffer.alloc(512)])],
    ["zstd in frames", Buffer.concat([zstd(FIRST), zstd(SECOND)])],
    ["zstd with frames to skip", Buffer.concat([SKIPPABLE, zstd(FIRST), SKIPPABLE, zstd(SECOND), SKIPPABLE])],
    ["xz in streams with padding", Buffer.concat([by("xz", FIRST), Buffer.alloc(8), by("xz", SECOND)])],
    ["bzip2 in streams", Buffer.concat([by("bzip2", FIRST), by("bzip2", SECOND)])],
  ])("is read to its end: %s", async (_, archive) => {
    const { tree } = await imported(archive);
    expect(readdirSync(tree).sort()).toEqual(["a", "b"]);
    expect(statSync(join(tree, "b")).size).toBe(3000);
  });

  const damaged = zstd(SECOND);
  damaged[0] = 0;
  it.each([
    ["gzip", Buffer.concat([gzipSync(TWO), Buffer.from("garbage")])],
    ["zstd", Buffer.concat([zstd(TWO), Buffer.from("garbage")])],
    ["zstd, a frame whose beginning is damaged", Buffer.concat([zstd(FIRST), damaged])],
    ["zstd that is cut off", zstd(TWO).subarray(0, -3)],
    ["xz", Buffer.concat([by("xz", TWO), Buffer.from("garbage")])],
  ])("is refused where something else follows: %s", async (_, archive) => {
    await refused(archive, /data cannot be read: .* \[BAD_COMPRESSION\]$/);
  });
});

describe("an archive", () => {
  it("may end with its last byte", async () => {
    const { tree } = await imported(part({ name: "a", data: "x" }).subarray(0, 513));
    expect(readFileSync(join(tree, "a"), "utf8")).toBe("x");
    await refused(part({ name: "a", data: "xyz" }).subarray(0, 513), /\[TRUNCATED\]$/);
  });

  it("may have owners that chown(2) leaves unchanged: they are root's, with a note", async () => {
    const { tree, notes } = await imported(
      whole(pax(["uid", "4294967295"], ["gid", "7"]), part({ name: "a" }), part({ name: "b", uid: 5 })),
    );
    expect(lstatSync(join(tree, "a"))).toMatchObject({ uid: 0, gid: 7 });
    expect(lstatSync(join(tree, "b"))).toMatchObject({ uid: 5 });
    expect(notes).toMatch(/1 owners with the id -1 .*: a$/m);
  });

  it("has no symbolic link to nothing", () =>
    refused(tarOf([{ name: "s", type: "2", link: "" }]), /'s' is a symbolic link to nothing \[BAD_IMAGE\]$/));
});

it("a layer of aufs has its hard links, and not the directory that keeps them", async () => {
  const layer = tarOf([
    { name: ".wh..wh.aufs" },
    { name: ".wh..wh.plnk/", type: "5", mode: 0o700 },
    { name: ".wh..wh.plnk/12.34", data: "content", mode: 0o600 },
    { name: "one", type: "1", link: ".wh..wh.plnk/12.34" },
    { name: "two", type: "1", link: ".wh..wh.plnk/12.34" },
  ]);
  await host.ok("base", "import", "aufs", addImage(join(host.dir, "aufs"), "t", [layer]));
  const tree = await topLayer("aufs");
  expect(readdirSync(tree).sort()).toEqual(["one", "two"]);
  expect(readFileSync(join(tree, "two"), "utf8")).toBe("content");
  const [one, two] = ["one", "two"].map((name) => lstatSync(join(tree, name)));
  expect([one?.nlink, one?.ino]).toEqual([2, two?.ino]);
  expect(existsSync(join(tree, ".wh..wh.aufs"))).toBe(false);
});
