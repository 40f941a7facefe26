import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Host, makeHost, must, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { addPart, definition, partsOf, viewOf } from "../helpers/parts.ts";
import { editAtRandom, randomNumbers } from "../helpers/random-edits.ts";
import { distinctMoments, killAt, type Moment, momentsOf, recordTo } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";

// What was not written to the disk is lost when the file system is shut down: a power loss as it sees one.
describe.each([
  ["xfs", "320M", ["-q"]],
  ["ext4", "64M", ["-q"]],
] as const)("a power loss on %s", (type, size, options) => {
  const dir = mkdtempSync(`/tmp/veneer-power-${type}-`);
  const image = join(dir, "image");
  const point = join(dir, "point");
  const trees = mkdtempSync("/tmp/veneer-trees-");
  let host: Host;

  beforeAll(async () => {
    mkdirSync(point);
    await must("truncate", ["-s", size, image]);
    await must(`mkfs.${type}`, [...options, image]);
    await must("mount", ["-o", "loop", image, point]);
    host = makeHost(point);
    for (const version of [1, 2]) {
      const tree = makeTree(join(trees, String(version)));
      writeFileSync(join(tree, "etc/version"), String(version));
      plantBase(host, "b", tree, version);
    }
    await must("sync", ["-f", point]);
  });
  afterAll(async () => {
    await sh("umount", ["-l", point]);
    for (const path of [dir, trees]) rmSync(path, { recursive: true, force: true });
  });

  const shutDown = () => must("xfs_io", ["-x", "-c", "shutdown", point]);
  const restart = async () => {
    await must("umount", [point]);
    await must("mount", ["-o", "loop", image, point]);
    await host.ok("gc");
  };
  const losePower = async () => {
    await shutDown();
    await restart();
  };
  const program = (...words: string[]) => [PROGRAM, ...storeOptions(host), ...words];
  /** Runs a command; returns the moments before its calls that change names, or what of them is durable. */
  const stepsOf = async (...words: string[]) => {
    const record = join(trees, "calls");
    const calls = ["fsync", "syncfs", "renameat2", "mkdirat", "unlinkat"];
    await must("strace", [...recordTo(record, calls), ...program(...words)]);
    return distinctMoments(record);
  };
  const inspect = async (id: string) => JSON.parse(await host.ok("inspect", id, "--json"));
  /** The instance's version and own file, as a mount shows them. */
  const content = async (id: string) => {
    const root = await host.ok("mount", id);
    const read = (path: string) => sh("cat", [join(root, path)]).then(({ stdout }) => stdout);
    const found = [await read("etc/version"), await read("etc/own")];
    await host.ok("umount", id);
    return found;
  };

  it("right after a command loses nothing that it reported", async () => {
    await host.ok("create", "web1", "b@1", "--mask", "/etc/group");
    await losePower();
    expect(await inspect("web1")).toMatchObject({ state: "stopped", version: 1, mask: ["/etc/group"] });
    const root = await host.ok("mount", "web1");
    expect((await sh("ls", ["-A", join(root, "tmp"), join(root, "root")])).stdout).not.toContain(
      "of-the-base",
    );
    expect((await sh("ls", [join(root, "etc")])).stdout).not.toContain("group");
    writeFileSync(join(root, "etc/own"), "mine");
    await host.ok("umount", "web1");
    await host.ok("clone", "web1", "web2");
    await losePower();
    expect(await content("web2")).toEqual(["1", "mine"]);
    await host.ok("cutover", "web2", "b@2");
    await losePower();
    expect(await content("web2")).toEqual(["2", ""]);
    await host.ok("fallback", "web2");
    await losePower();
    expect(await content("web2")).toEqual(["1", "mine"]);
    await host.ok("rebase", "web2", "b@2");
    await losePower();
    expect(await content("web2")).toEqual(["2", "mine"]);
    expect(await host.ok("commit", "web2", "apps")).toBe("apps@1");
    await losePower();
    await host.ok("create", "web3", "apps");
    expect(await content("web3")).toEqual(["2", "mine"]);
    await host.ok("base", "verify", "apps");
    for (const id of ["web2", "web3"]) await host.ok("rm", id);
  });

  it("at any moment leaves the old state or the new one", async () => {
    const create = ["create", "new", "b"];
    const cutover = ["cutover", "web1", "b@2"];
    const moments = [];
    for (const words of [create, cutover]) {
      for (const moment of await stepsOf(...words)) moments.push({ words, moment });
    }
    expect(moments.length).toBeGreaterThan(5);
    await host.ok("rm", "new");
    await host.ok("fallback", "web1");
    for (const { words, moment } of moments) {
      await must("sync", ["-f", point]);
      await sh("strace", [...killAt(moment), ...program(...words)]);
      await losePower();
      const rows = JSON.parse(await host.ok("ls", "--json"));
      expect(rows.map(({ state }: { state: string }) => state)).not.toContain("damaged");
      const { version } = await inspect("web1");
      expect(await content("web1")).toEqual(version === 1 ? ["1", "mine"] : ["2", ""]);
      if (version === 2) await host.ok("fallback", "web1");
      if (rows.length === 2) {
        expect(await content("new")).toEqual(["2", ""]);
        await host.ok("rm", "new");
      }
    }
    expect(readFileSync(join(host.root, "instances/web1/instance.json"), "utf8")).toContain('"generation":1');
  });

  it("while the parts of an upper are merged changes nothing that shows", async () => {
    const random = randomNumbers(type.length);
    await host.ok("create", "web4", "b@1");
    let moments: Moment[] = [];
    for (const part of [0, 0.1, 0.4, 0.7, 0.95]) {
      for (const count of [60, 40, 40]) {
        const root = await host.ok("mount", "web4");
        editAtRandom(join(root, "var"), random, count);
        await must("umount", [root]);
        if (count === 60 || definition(host, "web4").parts === 1) await addPart(host, "web4");
      }
      await must("sync", ["-f", point]);
      const before = await viewOf(host, "web4");
      if (moments.length === 0) {
        const calls = join(trees, "calls");
        await must("strace", [...recordTo(calls), ...program("internal", "merge", "web4")]);
        moments = momentsOf(calls);
        expect(moments.length).toBeGreaterThan(10);
      } else {
        const moment = moments[Math.floor(part * moments.length)] as Moment;
        await sh("strace", [...killAt(moment), ...program("internal", "merge", "web4")]);
      }
      await shutDown();
      await must("umount", [point]);
      await must("mount", ["-o", "loop", image, point]);
      expect(await viewOf(host, "web4")).toBe(before);
      await host.ok("gc");
      expect(partsOf(host, "web4").left).toEqual([]);
      expect(await viewOf(host, "web4")).toBe(before);
    }
  });
});
