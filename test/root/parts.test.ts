import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, PROJECT, sh, storeOptions } from "../helpers/host.ts";
import { removeInstances, within } from "../helpers/instances.ts";
import { addPart, generationDirectory, partsOf, viewOf } from "../helpers/parts.ts";
import { editAtRandom, randomNumbers } from "../helpers/random-edits.ts";
import { inject, killAt, type Moment, momentsOf, recordTo } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();

beforeAll(() => {
  for (const version of [1, 2]) {
    const tree = join(host.dir, `tree ${version}`);
    makeTree(tree);
    writeFileSync(join(tree, "etc/version"), `${version}\n`);
    plantBase(host, "debian", tree, version);
  }
});
afterEach(() => removeInstances(host));
afterAll(() => host.remove());

describe("an upper of several parts", () => {
  it("shows all of them, and what is written goes to the highest", async () => {
    await host.ok("create", "web1", "debian@1");
    await within(host, "web1", (root) => {
      mkdirSync(join(root, "srv/own"), { recursive: true });
      writeFileSync(join(root, "srv/own/first"), "1");
      writeFileSync(join(root, "srv/own/second"), "1");
      rmSync(join(root, "etc/version"));
    });
    await addPart(host, "web1");
    const root = await host.ok("mount", "web1");
    writeFileSync(join(root, "srv/own/second"), "2");
    expect(readFileSync(join(root, "srv/own/first"), "utf8")).toBe("1");
    expect(existsSync(join(root, "etc/version"))).toBe(false);
    const directory = generationDirectory(host, "web1");
    expect(readFileSync(join(directory, "upper/srv/own/second"), "utf8")).toBe("1");
    expect(readFileSync(join(directory, "parts/1/upper/srv/own/second"), "utf8")).toBe("2");
    const { status, stderr } = await host.veneer("rm", "web1");
    expect([status, stderr]).toEqual([1, expect.stringContaining("web1 is mounted on")]);
  });
});

/** An instance whose parts were written through overlays, by changes that the seed gives. */
async function makeParts(id: string, seed: number, parts: number): Promise<void> {
  const random = randomNumbers(seed);
  const tree = join(host.dir, `random ${seed}`);
  mkdirSync(tree);
  editAtRandom(tree, random, 60);
  plantBase(host, `random${seed}`, tree);
  await host.ok("create", id, `random${seed}`, "--opaque", "none");
  for (let part = 0; part <= parts; part++) {
    const root = await host.ok("mount", id);
    editAtRandom(root, random, part === 0 ? 60 : 30);
    await must("umount", [root]);
    if (part < parts) await addPart(host, id);
  }
}

const merge = (id: string, ...options: string[]) => host.ok("internal", "merge", id, ...options);

describe("merging the parts of a stopped instance", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])("leaves one that shows the same (seed %i)", async (seed) => {
    await makeParts("any", seed, 3);
    const before = await viewOf(host, "any");
    const { parts } = partsOf(host, "any");
    expect(parts).toBe(3);
    await merge("any", "--lower");
    expect(partsOf(host, "any")).toMatchObject({ parts: 3, folded: 2 });
    expect(await viewOf(host, "any")).toBe(before);
    expect(await merge("any")).toBe("merged");
    expect(partsOf(host, "any")).toEqual({ parts: undefined, folded: undefined, left: [] });
    expect(await viewOf(host, "any")).toBe(before);
    // what was replaced goes in the background
    await expect.poll(() => readdirSync(join(host.root, "trash"))).toEqual([]);
  });

  it("keeps what a process on an earlier root wrote after the lower parts were merged", async () => {
    await makeParts("any", 9, 2);
    await merge("any", "--lower");
    const directory = generationDirectory(host, "any");
    writeFileSync(join(directory, "parts/0/upper/late 0"), "0");
    writeFileSync(join(directory, "parts/1/upper/late 1"), "1");
    expect(await merge("any")).toBe("merged");
    expect(
      await within(host, "any", (root) =>
        ["late 0", "late 1"].map((name) => readFileSync(join(root, name), "utf8")),
      ),
    ).toEqual(["0", "1"]);
  });

  it("goes on where the bundle is deleted while the merge starts", async () => {
    await makeParts("any", 10, 1);
    const bundle = join(host.dir, "bundle");
    mkdirSync(bundle);
    const record = join(host.run, "records/any~0123456789abcdef.json");
    mkdirSync(dirname(record), { recursive: true });
    writeFileSync(record, "the container's");
    const words = [...storeOptions(host), basename(record, ".json"), "", "any"];
    const hook = join(PROJECT, "dist/veneer-release");
    // the second program that the hook's child becomes is the large one
    const slow = inject("execve", "delay_enter=1000000:when=2");
    const released = sh("strace", [...slow, hook, ...words], { cwd: bundle });
    await expect.poll(() => existsSync(record)).toBe(false);
    rmdirSync(bundle);
    await released;
    await expect.poll(() => partsOf(host, "any").parts).toBeUndefined();
  });

  it.each([11, 12, 13])("shows the same after a kill at any moment (seed %i)", async (seed) => {
    await makeParts("any", seed, 3);
    const before = await viewOf(host, "any");
    const random = randomNumbers(seed);
    const record = join(host.dir, "moments");
    const copy = join(host.dir, "copy");
    await must("cp", ["-a", join(host.root, "instances/any"), copy]);
    const veneer = join(host.bin, "veneer");
    await must("strace", [...recordTo(record), veneer, "internal", "merge", "any"]);
    expect(await viewOf(host, "any")).toBe(before);
    rmSync(join(host.root, "instances/any"), { recursive: true });
    await must("mv", [copy, join(host.root, "instances/any")]);
    const killed = async (...options: string[]) => {
      const moments = momentsOf(record).filter(({ call }) => call !== "write" && call !== "flock");
      const moment = moments[random(moments.length)] as Moment;
      await sh("strace", [...killAt(moment), veneer, "internal", "merge", "any", ...options]);
      expect(await viewOf(host, "any"), JSON.stringify([moment, options])).toBe(before);
    };
    for (let kills = 0; kills < 3; kills++) await killed("--lower");
    for (let kills = 0; kills < 3; kills++) await killed();
    await merge("any", "--lower");
    for (let kills = 0; kills < 3; kills++) await killed();
    await merge("any");
    expect(await viewOf(host, "any")).toBe(before);
    await host.ok("gc");
    expect(partsOf(host, "any").left).toEqual([]);
  });
});

describe("verbs on an instance in parts", () => {
  const make = async (id: string) => {
    await host.ok("create", id, "debian@1");
    for (const part of [0, 1, 2]) {
      if (part > 0) await addPart(host, id);
      const root = await host.ok("mount", id);
      writeFileSync(join(root, `part${part}`), `${part}`);
      if (part === 1) rmSync(join(root, "part0"));
      await must("umount", [root]);
    }
  };
  const own = (id: string) =>
    within(host, id, (root) => readdirSync(root).filter((name) => name.startsWith("part")));

  it("umount merges them", async () => {
    await make("web1");
    await host.ok("mount", "web1");
    expect(partsOf(host, "web1").parts).toBe(2);
    expect(await host.veneer("umount", "web1")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(partsOf(host, "web1")).toEqual({ parts: undefined, folded: undefined, left: [] });
    expect(await own("web1")).toEqual(["part1", "part2"]);
  });

  it("clone and commit copy all of them as one", async () => {
    await make("web1");
    await host.ok("clone", "web1", "web2");
    expect(partsOf(host, "web2")).toEqual({ parts: undefined, folded: undefined, left: [] });
    expect(await own("web2")).toEqual(["part1", "part2"]);
    await addPart(host, "web2");
    await within(host, "web2", (root) => rmSync(join(root, "part2")));
    await host.ok("commit", "web2", "made");
    await host.ok("create", "web3", "made");
    expect(await own("web3")).toEqual(["part1"]);
  });

  it("rebase of a stopped one merges them first", async () => {
    await make("web1");
    await host.ok("rebase", "web1", "debian@2");
    expect(partsOf(host, "web1")).toEqual({ parts: undefined, folded: undefined, left: [] });
    expect(await own("web1")).toEqual(["part1", "part2"]);
  });

  it("cutover and fallback keep them, and gc merges those of every generation", async () => {
    await make("web1");
    await host.ok("cutover", "web1", "debian@2");
    expect(existsSync(join(generationDirectory(host, "web1"), "parts"))).toBe(true);
    await make("web2");
    const freed = ["web1", "web2"].map((id) => ({
      kind: "parts",
      what: join(host.root, "instances", id),
      bytes: 0,
    }));
    expect(JSON.parse(await host.ok("gc", "--dry-run", "--json")).freed).toEqual(
      expect.arrayContaining(freed),
    );
    expect(await host.ok("gc")).toContain("merged the parts of 2 instances");
    expect(existsSync(join(generationDirectory(host, "web1"), "parts"))).toBe(false);
    expect(await host.ok("gc")).toBe("freed nothing");
    await host.ok("fallback", "web1");
    expect(await own("web1")).toEqual(["part1", "part2"]);
  });

  it("gc leaves what is mounted alone", async () => {
    await make("web1");
    await host.ok("mount", "web1");
    expect(await host.ok("gc")).toBe("freed nothing");
    expect(partsOf(host, "web1").parts).toBe(2);
  });

  it("rm removes them while a large merge is under way", async () => {
    await make("web1");
    await within(host, "web1", (root) => {
      for (let count = 0; count < 100; count++) writeFileSync(join(root, `file${count}`), "");
    });
    await addPart(host, "web1");
    const merging = host.veneer("internal", "merge", "web1");
    expect(await host.veneer("rm", "web1")).toMatchObject({ status: 0 });
    expect((await merging).status).toBe(0);
  });

  it("says which part cannot be merged, and starts with the parts", async () => {
    await make("web1");
    const file = join(generationDirectory(host, "web1"), "parts/1/upper/part1");
    await must("chattr", ["+i", file]);
    try {
      const { status, stderr } = await host.veneer("clone", "web1", "web2");
      expect([status, stderr]).toEqual([
        1,
        expect.stringMatching(/^veneer: merge the parts of instance web1, generation 1: .*EPERM.*part1/),
      ]);
      expect(readdirSync(await host.ok("mount", "web1"))).toEqual(expect.arrayContaining(["part1", "part2"]));
    } finally {
      await must("chattr", ["-i", file]);
    }
  });
});
