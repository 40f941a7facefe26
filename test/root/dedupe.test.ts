/** Files that are the same in several layers are one file; nothing of what a base shows tells. */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { killAt, momentsOf, recordTo } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const config = join(host.dir, "off.json");
const BIG = "x".repeat(100_000);
const separately = ["--config", config];

const show = async (ref: string) => JSON.parse(await host.ok("base", "show", ref, "--json"));
const topTree = async (base: string): Promise<string> => (await show(base)).layers[0].path;
const inode = async (base: string, path: string) => statSync(join(await topTree(base), path)).ino;
const isOne = async (path: string, a = "a", b = "b") => (await inode(a, path)) === (await inode(b, path));

/** What a version shows: names, types, modes, owners, times, numbers of links and contents, of an export. */
async function shown(base: string): Promise<string> {
  const directory = join(host.dir, `shown-${base}`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  await host.ok("base", "export", base, `${directory}.tar`);
  await must("tar", ["--xattrs", "--xattrs-include=*", "-C", directory, "-xpf", `${directory}.tar`]);
  rmSync(`${directory}.tar`);
  return listing(directory);
}

const listing = (directory: string) =>
  must("sh", [
    "-c",
    'cd "$1" && find . -printf "%P %y %m %U:%G %l %n %T@\\n" | sort && find . -type f -exec sha256sum {} + | sort',
    "sh",
    directory,
  ]);

/** A system of its own, as a package manager would make it again: the same files, at other places on the disk. */
function makeSystem(name: string): string {
  const tree = makeTree(join(host.dir, name));
  mkdirSync(join(tree, "usr/lib/deep"), { recursive: true });
  const write = (path: string, text: string, time = 1_600_000_000) => {
    writeFileSync(join(tree, path), text);
    utimesSync(join(tree, path), time, time);
  };
  write("usr/lib/deep/libbig.so", BIG);
  write("usr/lib/deep/other.so", `${BIG.slice(1)}${name}`.slice(0, 100_000));
  write("usr/lib/deep/small", "small");
  write("usr/lib/deep/newer.so", BIG, name === "a" ? 1_600_000_000 : 1_600_000_001);
  write("usr/lib/twin1", BIG);
  linkSync(join(tree, "usr/lib/twin1"), join(tree, "usr/lib/twin2"));
  write("usr/lib/elsewhere", BIG);
  write("etc/big", BIG);
  for (const path of ["usr/lib/deep", "usr/lib", "usr"])
    utimesSync(join(tree, path), 1_500_000_000, 1_500_000_000);
  return tree;
}

const trees = { a: makeSystem("a"), b: makeSystem("b") };

beforeAll(async () => {
  writeFileSync(config, JSON.stringify({ shareFiles: false }));
  await host.ok("base", "import", "a", trees.a);
  await host.ok("base", "import", "b", trees.b);
});
afterAll(() => host.remove());

describe("an import", () => {
  it("shares files that another layer has under the same name", async () => {
    expect(await isOne("usr/lib/deep/libbig.so")).toBe(true);
    expect(await isOne("usr/lib/elsewhere")).toBe(true);
  });

  it.each([
    ["another content", "usr/lib/deep/other.so"],
    ["another time", "usr/lib/deep/newer.so"],
    ["less than a page", "usr/lib/deep/small"],
    ["several names in its own tree", "usr/lib/twin1"],
    ["a place where programs count links", "etc/big"],
  ])("does not share a file with %s", async (_what, path) => {
    expect(await isOne(path)).toBe(false);
  });

  it("never links two names of one tree", async () => {
    expect(await inode("b", "usr/lib/elsewhere")).not.toBe(await inode("b", "usr/lib/deep/libbig.so"));
  });

  it("shows and exports what was imported", async () => {
    for (const [base, tree] of Object.entries(trees)) {
      expect(await shown(base)).toBe(await listing(tree));
      expect(JSON.parse(await host.ok("base", "verify", base, "--json")).ok).toBe(true);
    }
  });

  it("counts what it shared as not its own", async () => {
    const [a, b] = await Promise.all([show("a"), show("b")]);
    expect(a.layers[0].bytes - b.layers[0].bytes).toBeGreaterThan(190_000);
    expect(b.layers[0].shared).toBeGreaterThan(190_000);
    const saved = b.layers[0].shared;
    expect(JSON.parse(await host.ok("base", "ls", "--json"))).toMatchObject([{ saved: 0 }, { saved }]);
    await host.ok("create", "i", "b");
    const df = JSON.parse(await host.ok("df", "--json"));
    expect(df).toMatchObject({ bases: [{ saved: 0 }, { saved }], total: { saved } });
    // a copy would have all of its files
    expect(df.instances[0].copy).toBeGreaterThan(a.layers[0].bytes - 100_000);
    expect(await host.ok("df")).toMatch(/ in all, [0-9.]+ KiB saved by files that layers share; /);
    await host.ok("rm", "i");
  });

  it("leaves a commit's files to be shared too", async () => {
    const command = `mkdir -p /usr/added && printf %s ${"y".repeat(5000)} >/usr/added/f && touch -d @1600000000 /usr/added/f`;
    for (const base of ["a", "b"]) await host.ok("base", "edit", base, "--", "/bin/sh", "-c", command);
    expect(await isOne("usr/added/f")).toBe(true);
  });

  it("lets a container write to its own copy alone", async () => {
    await host.ok("create", "i", "b");
    const mount = await host.ok("mount", "i");
    writeFileSync(join(mount, "usr/lib/deep/libbig.so"), "written");
    await host.ok("umount", "i");
    await host.ok("rm", "i");
    expect(await must("cat", [join(await topTree("a@1"), "usr/lib/deep/libbig.so")])).toBe(BIG);
  });

  it("stands by itself when the other base is removed", async () => {
    await host.ok("base", "import", "c", trees.a);
    await host.ok("base", "rm", "c");
    expect(await shown("a@1")).toBe(await listing(trees.a));
  });
});

describe("veneer dedupe", () => {
  const apart = makeHost();
  const veneer = (...args: string[]) => apart.ok(...separately, ...args);
  const tree = async (base: string) =>
    JSON.parse(await veneer("base", "show", base, "--json")).layers[0].path;
  const areOne = async () => {
    const [a, b] = await Promise.all(["a", "b"].map(tree));
    const path = "usr/lib/deep/libbig.so";
    return statSync(join(a, path)).ino === statSync(join(b, path)).ino;
  };
  const times = async (base: string) => must("find", [await tree(base), "-type", "d", "-printf", "%P %T@\n"]);

  beforeAll(async () => {
    for (const [base, source] of Object.entries(trees)) await veneer("base", "import", base, source);
  });
  afterAll(() => apart.remove());

  it("finds nothing shared where the configuration says so", async () => {
    expect(await areOne()).toBe(false);
  });

  it("leaves layers that something stands on", async () => {
    for (const base of ["a", "b"]) {
      await veneer("create", `on-${base}`, base);
      await veneer("mount", `on-${base}`);
    }
    const outcome = await apart.veneer("dedupe");
    expect(outcome).toMatchObject({ status: 0, stdout: "0 files shared, 0 B freed" });
    expect(outcome.stderr).toContain("2 layers are in use and left");
    for (const base of ["a", "b"]) await veneer("umount", `on-${base}`);
    expect(await areOne()).toBe(false);
  });

  it("killed at any step, changes nothing that a base shows", async () => {
    const trace = join(apart.dir, "trace");
    const run = (options: readonly string[]) =>
      sh("strace", [...options, PROGRAM, ...storeOptions(apart), "dedupe"]);
    const before = await times("b");
    const copy = join(apart.dir, "store-before");
    await must("cp", ["-a", apart.root, copy]);
    expect(await run(recordTo(trace))).toMatchObject({ status: 0 });
    expect(await areOne()).toBe(true);
    const steps = ["linkat", "renameat2", "utimensat", "unlinkat", "fsync", "syncfs"];
    const moments = momentsOf(trace).filter(({ call }) => steps.includes(call));
    expect(moments.some(({ call }) => call === "linkat")).toBe(true);
    for (const moment of moments) {
      rmSync(apart.root, { recursive: true });
      await must("cp", ["-a", copy, apart.root]);
      await run(killAt(moment));
      await apart.ok("gc");
      const at = `${moment.call} ${moment.when}`;
      expect(await times("b"), at).toBe(before);
      expect(JSON.parse(await apart.ok("base", "verify", "b", "--json")).ok, at).toBe(true);
      expect(readdirSync(join(apart.root, "staging")), at).toEqual([]);
      await apart.ok("dedupe");
      expect(await areOne(), at).toBe(true);
      expect(existsSync(join(await tree("b"), "../sharing")), at).toBe(false);
    }
    rmSync(copy, { recursive: true });
  });

  it("finds nothing more the second time", async () => {
    expect(await apart.ok("dedupe")).toBe("0 files shared, 0 B freed");
  });
});
