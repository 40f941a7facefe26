import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { removeInstances, within } from "../helpers/instances.ts";
import { alone, killAt } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const tree = (version: number) => join(host.dir, `tree ${version}`);
const upper = (id: string, generation = 1) => join(host.root, "instances", id, String(generation), "upper");

beforeAll(async () => {
  for (const version of [1, 2, 3]) {
    makeTree(tree(version));
    writeFileSync(join(tree(version), "etc/version"), `${version}\n`);
    mkdirSync(join(tree(version), "etc/keys"), { mode: 0o750 });
    writeFileSync(join(tree(version), `etc/keys/host_${version}`), "secret");
    plantBase(host, "debian", tree(version), version);
  }
  await must("chmod", ["2751", join(tree(3), "etc/keys")]);
  await must("setfattr", ["-n", "user.note", "-v", "kept", join(tree(3), "etc/keys")]);
});
afterEach(() => removeInstances(host));
afterAll(() => host.remove());

const read = (id: string, path: string) => within(host, id, (root) => readFileSync(join(root, path), "utf8"));
const write = (id: string, path: string, text: string) =>
  within(host, id, (root) => writeFileSync(join(root, path), text));
const inspect = async (id: string) => JSON.parse(await host.ok("inspect", id, "--json"));

/** Runs the program and kills it at the Nth of these system calls. */
function killedAt(calls: string, when: number, ...args: string[]) {
  return sh("strace", [...alone(killAt({ call: calls, when })), join(host.bin, "veneer"), ...args]);
}

describe("cutover and fallback", () => {
  it("go forth and back with the changes of each generation", async () => {
    await host.ok("create", "web1", "debian@1");
    await write("web1", "etc/own", "first");
    const { stderr } = await host.veneer("cutover", "web1", "debian@2");
    expect(stderr).toBe("veneer: instance web1 is on debian@2, generation 2");
    expect(await within(host, "web1", (root) => existsSync(join(root, "etc/own")))).toBe(false);
    expect(await read("web1", "etc/version")).toBe("2\n");
    expect(await within(host, "web1", (root) => readdirSync(join(root, "tmp")))).toEqual([]);
    await write("web1", "etc/own", "second");
    await host.ok("cutover", "web1", "debian");
    expect(await read("web1", "etc/version")).toBe("3\n");
    await host.ok("fallback", "web1");
    expect([await read("web1", "etc/own"), await read("web1", "etc/version")]).toEqual(["second", "2\n"]);
    await host.ok("fallback", "web1");
    expect([await read("web1", "etc/own"), await read("web1", "etc/version")]).toEqual(["first", "1\n"]);
    const { status, stderr: why } = await host.veneer("fallback", "web1");
    expect([status, why]).toEqual([
      1,
      expect.stringContaining("no generation before 1; hint: it keeps 2, 3"),
    ]);
    await host.ok("fallback", "web1", "--to", "2");
    expect(await read("web1", "etc/own")).toBe("second");
  });

  it("find the generation that was prepared while the instance was in use", async () => {
    await host.ok("create", "web1", "debian@1");
    const mount = await host.ok("mount", "web1");
    expect(await host.ok("cutover", "web1", "debian@2", "--prepare")).toBe("2");
    expect(await host.ok("cutover", "web1", "debian@2", "--prepare")).toBe("2");
    expect(readFileSync(join(mount, "etc/version"), "utf8")).toBe("1\n");
    await host.ok("gc");
    expect(existsSync(upper("web1", 2))).toBe(true);
    await host.ok("umount", "web1");
    const { stderr } = await host.veneer("cutover", "web1", "debian@2");
    expect(stderr).toBe("veneer: instance web1 is on debian@2, generation 2");
    expect(await read("web1", "etc/version")).toBe("2\n");
    await host.ok("fallback", "web1");
    expect(await read("web1", "etc/version")).toBe("1\n");
    const wrong = await host.veneer("cutover", "web1", "debian@2", "--prepare", "--restart");
    expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining("--prepare switches nothing") });
  });

  it("keep a mount by hand at its path, and its options", async () => {
    const place = join(host.dir, "place");
    mkdirSync(place, { recursive: true });
    await host.ok("create", "web1", "debian@1");
    await host.ok("mount", "web1", place, "--suid");
    writeFileSync(join(place, "etc/own"), "first");
    await host.ok("cutover", "web1", "debian@2");
    expect(readFileSync(join(place, "etc/version"), "utf8")).toBe("2\n");
    expect(existsSync(join(place, "etc/own"))).toBe(false);
    await host.ok("fallback", "web1");
    expect(readFileSync(join(place, "etc/own"), "utf8")).toBe("first");
    await host.ok("rebase", "web1", "debian@3");
    expect(readFileSync(join(place, "etc/version"), "utf8")).toBe("3\n");
    expect(readFileSync(join(place, "etc/own"), "utf8")).toBe("first");
    expect(await must("findmnt", ["-rno", "VFS-OPTIONS", place])).not.toContain("nosuid");
    expect((await must("findmnt", ["-rno", "TARGET"])).split("\n").filter((t) => t === place)).toEqual([
      place,
    ]);
    expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([{ version: 3, target: place }]);
    await host.ok("umount", "web1");
  });

  it("leave all as it was when a process works in the mount", async () => {
    await host.ok("create", "web1", "debian@1");
    const root = await host.ok("mount", "web1");
    for (const verb of ["cutover", "rebase"]) {
      const outcome = await sh(join(host.bin, "veneer"), [verb, "web1", "debian@2"], { cwd: root });
      expect([outcome.status, outcome.stderr]).toEqual([1, expect.stringContaining("web1 is in use: EBUSY")]);
      expect(readFileSync(join(root, "etc/version"), "utf8")).toBe("1\n");
    }
    expect(readdirSync(join(host.root, "instances/web1")).sort()).toEqual(["1", "instance.json"]);
    expect(await inspect("web1")).toMatchObject({ generation: 1, version: 1, state: "mounted" });
  });

  it.each([
    [["cutover", "web1", "debian@9"], 1, "no base debian@9 in"],
    [["cutover", "web1", "none"], 1, "no base none in"],
    [["cutover", "nobody", "debian"], 1, "no instance nobody in"],
    [["fallback", "web1"], 1, "no generation before 1"],
    [["fallback", "web1", "--to", "x"], 2, "generation 'x' is not a number"],
    [["rm", "web1", "--generation", "1"], 1, "generation 1 is the one that instance web1 uses"],
    [["rebase", "web1", "debian@9"], 1, "no base debian@9 in"],
    [["clone", "web1", "web1"], 1, "instance web1 exists already"],
    [["clone", "nobody", "web2"], 1, "no instance nobody in"],
    [["clone", "web1", "../web2"], 2, "instance name '../web2' is not valid"],
    [
      ["commit", "web1", "debian"],
      1,
      "is on debian@1: base debian is at version 3, no longer at version 1; hint: ",
    ],
    [["commit", "web1", "No"], 2, "base name 'No' is not valid"],
  ])("refuse %j and change nothing", async (words, wanted, message) => {
    await host.ok("create", "web1", "debian@1");
    const before = readFileSync(join(host.root, "instances/web1/instance.json"), "utf8");
    const { status, stderr } = await host.veneer(...words);
    expect([status, stderr.split("\n").length]).toEqual([wanted, 1]);
    expect(stderr).toContain(message);
    expect(readFileSync(join(host.root, "instances/web1/instance.json"), "utf8")).toBe(before);
    expect(readdirSync(join(host.root, "instances"))).toEqual(["web1"]);
  });

  it("leave the old state or the new one when they are killed", async () => {
    await host.ok("create", "web1", "debian@1", "--mask", "/etc/keys/host_*");
    await write("web1", "etc/own", "first");
    for (let when = 1; when <= 14; when++) {
      await killedAt("mkdirat,mknodat,renameat2,fsync", when, "cutover", "web1", "debian@2");
      const { version, generation } = await inspect("web1");
      expect(await read("web1", "etc/version")).toBe(`${version}\n`);
      expect(await within(host, "web1", (root) => existsSync(join(root, "etc/own")))).toBe(version === 1);
      expect(await within(host, "web1", (root) => readdirSync(join(root, "etc/keys")))).toEqual([]);
      if (version === 2) {
        await host.ok("fallback", "web1");
        await host.ok("rm", "web1", "--generation", String(generation));
      }
    }
    await host.ok("gc");
    expect(readdirSync(join(host.root, "instances/web1")).sort()).toEqual(["1", "instance.json"]);
  });

  it("hold every generation's version against base rm", async () => {
    plantBase(host, "old", tree(1));
    plantBase(host, "old", tree(2), 2);
    await host.ok("create", "web1", "old@1");
    await host.ok("cutover", "web1", "debian");
    const { status, stderr } = await host.veneer("base", "rm", "old@1");
    expect([status, stderr]).toEqual([1, expect.stringContaining("instance web1 (generation 1, kept)")]);
    await host.ok("rm", "web1", "--generation", "1");
    expect(existsSync(upper("web1", 1))).toBe(false);
    await host.ok("base", "rm", "old");
  });
});

describe("rebase", () => {
  it("puts the same changes on another version and hides its masked files too", async () => {
    await host.ok("create", "web1", "debian@1", "--mask", "/etc/keys/host_*");
    await within(host, "web1", (root) => {
      writeFileSync(join(root, "etc/own"), "mine");
      rmSync(join(root, "etc/os-release"));
      expect(readdirSync(join(root, "etc/keys"))).toEqual([]);
    });
    await host.ok("rebase", "web1", "debian@3");
    await within(host, "web1", (root) => {
      expect(readFileSync(join(root, "etc/version"), "utf8")).toBe("3\n");
      expect(readFileSync(join(root, "etc/own"), "utf8")).toBe("mine");
      expect(existsSync(join(root, "etc/os-release"))).toBe(false);
      expect(readdirSync(join(root, "etc/keys"))).toEqual([]);
    });
    expect((await host.veneer("rebase", "web1", "debian@3")).stderr).toContain("web1 is on debian@3 already");
  });

  it("hides masked files in a directory that only the new version has, with that one's attributes", async () => {
    for (const [version, from] of [
      [1, 2],
      [2, 3],
    ] as const) {
      makeTree(join(host.dir, `moved ${version}`));
      plantBase(host, "moved", join(host.dir, `moved ${version}`), version);
      if (version === 2) renameSync(join(tree(from), "etc/keys"), join(host.dir, "moved 2/etc/keys"));
    }
    await host.ok("create", "web1", "moved@1", "--mask", "/etc/keys/*");
    await host.ok("rebase", "web1", "moved@2");
    await within(host, "web1", (root) => {
      expect(readdirSync(join(root, "etc/keys"))).toEqual([]);
    });
    const keys = join(upper("web1"), "etc/keys");
    expect(await must("stat", ["-c", "%a", keys])).toBe("2751");
    expect(await must("getfattr", ["--only-values", "-n", "user.note", keys])).toBe("kept");
    renameSync(join(host.dir, "moved 2/etc/keys"), join(tree(3), "etc/keys"));
  });

  it("is refused on another base of the same name and number", async () => {
    await host.ok("create", "web1", "debian@1");
    const manifest = join(host.root, "bases/debian/versions/1.json");
    const text = readFileSync(manifest, "utf8");
    writeFileSync(manifest, text.replace("sha256:debian-1", "sha256:other"));
    try {
      const { status, stderr } = await host.veneer("mount", "web1");
      expect([status, stderr]).toEqual([1, expect.stringContaining("was made on another debian@1")]);
      await host.ok("cutover", "web1", "debian@2");
      expect((await host.veneer("fallback", "web1")).stderr).toContain("was made on another debian@1");
    } finally {
      writeFileSync(manifest, text);
    }
  });
});

describe("clone", () => {
  it("copies the changes, and both go their own ways", async () => {
    await host.ok("create", "web1", "debian@1", "--mask", "/etc/machine-id");
    await within(host, "web1", (root) => {
      writeFileSync(join(root, "etc/own"), "first");
      rmSync(join(root, "etc/os-release"));
    });
    await must("sh", [
      "-c",
      'cd "$1" && ln etc/own etc/hard && mkfifo etc/pipe && chown 5:6 etc/own && setfattr -n user.x -v y etc/own',
      "sh",
      upper("web1"),
    ]);
    expect(await host.ok("clone", "web1", "web2")).toBe("web2");
    const list = (id: string) =>
      must("sh", [
        "-c",
        'cd "$1" && find . -not -type c -printf "%p %y %m %U:%G %n %T@\\n" | sort && getfattr -Rhd -m "^user" .',
        "sh",
        upper(id),
      ]);
    expect(await list("web2")).toBe(await list("web1"));
    await write("web2", "etc/own", "second");
    expect([await read("web1", "etc/own"), await read("web2", "etc/own")]).toEqual(["first", "second"]);
    expect(await inspect("web2")).toMatchObject({ base: "debian", version: 1, mask: ["/etc/machine-id"] });
    expect(await within(host, "web2", (root) => existsSync(join(root, "etc/os-release")))).toBe(false);
  });

  it("is refused while the original is mounted", async () => {
    await host.ok("create", "web1", "debian@1");
    const root = await host.ok("mount", "web1");
    const { status, stderr } = await host.veneer("clone", "web1", "web2");
    expect([status, stderr]).toEqual([1, expect.stringContaining(`instance web1 is mounted on ${root}`)]);
    expect((await host.veneer("commit", "web1", "apps")).stderr).toContain("web1 is mounted on");
  });

  it("appears whole or not at all when it is killed", async () => {
    await host.ok("create", "web1", "debian@1");
    await write("web1", "etc/own", "first");
    for (let when = 1; when <= 8; when++) {
      await killedAt("mkdirat,renameat2,syncfs,fsync", when, "clone", "web1", "web2");
      if ((await host.veneer("inspect", "web2")).status === 0) {
        expect(await read("web2", "etc/own")).toBe("first");
        await host.ok("rm", "web2");
      }
    }
    await host.ok("gc");
  });
});

describe("commit", () => {
  it("makes a new base, stacked on the instance's version", async () => {
    await host.ok("create", "web1", "debian@1");
    await within(host, "web1", (root) => {
      writeFileSync(join(root, "etc/own"), "mine");
      writeFileSync(join(root, "etc/passwd"), "changed");
      rmSync(join(root, "etc/os-release"));
      rmSync(join(root, "home"), { recursive: true });
    });
    expect(await host.ok("commit", "web1", "apps")).toBe("apps@1");
    await host.ok("create", "web2", "apps");
    await within(host, "web2", (root) => {
      expect(readFileSync(join(root, "etc/own"), "utf8")).toBe("mine");
      expect(readFileSync(join(root, "etc/passwd"), "utf8")).toBe("changed");
      expect(readFileSync(join(root, "etc/version"), "utf8")).toBe("1\n");
      expect(existsSync(join(root, "etc/os-release"))).toBe(false);
      expect(existsSync(join(root, "home"))).toBe(false);
    });
    const { layers, from } = JSON.parse(await host.ok("base", "show", "apps", "--json"));
    expect([layers.length, from]).toEqual([2, { name: "debian", version: 1 }]);
    expect(await must("getfattr", ["-Rhd", "-m", "trusted.overlay.(origin|impure)", layers[0].path])).toBe(
      "",
    );
    const again = await host.veneer("commit", "web1", "apps");
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining("base apps exists already")]);
    const held = await host.veneer("base", "rm", "debian@1");
    expect([held.status, held.stderr]).toEqual([1, expect.stringContaining("apps@1")]);
    await host.ok("rm", "web2");
    await host.ok("rm", "web1");
    await host.ok("base", "rm", "apps");
  });

  it("makes the next version of the instance's own base from the current one alone", async () => {
    plantBase(host, "line", tree(1));
    await host.ok("create", "web1", "line");
    await host.ok("create", "web2", "line");
    await write("web1", "etc/own", "1");
    await write("web2", "etc/own", "2");
    expect(await host.ok("commit", "web1", "line")).toBe("line@2");
    const { status, stderr } = await host.veneer("commit", "web2", "line");
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(
        /web2 is on line@1: base line is at version 2, .*; hint: 'veneer rebase web2 line'/,
      ),
    ]);
    await host.ok("rebase", "web2", "line");
    expect(await host.ok("commit", "web2", "line")).toBe("line@3");
    await host.ok("create", "web3", "line");
    expect(await read("web3", "etc/own")).toBe("2");
  });

  it("leaves out what it is told to, and puts the instance on what it made", async () => {
    plantBase(host, "made", tree(1));
    await host.ok("create", "web1", "made");
    await write("web1", "etc/own", "kept");
    await within(host, "web1", (root) => {
      mkdirSync(join(root, "var/cache/deep"), { recursive: true });
      writeFileSync(join(root, "var/cache/deep/junk"), "junk");
      writeFileSync(join(root, "etc/version"), "changed");
    });
    const words = ["--exclude", "/var/cache", "--exclude", "/etc/version", "--cutover"];
    const { stdout, stderr } = await host.veneer("commit", "web1", "made", ...words);
    expect([stdout, stderr]).toEqual(["made@2", "veneer: instance web1 is on made@2, generation 2"]);
    expect([await read("web1", "etc/own"), await read("web1", "etc/version")]).toEqual(["kept", "1\n"]);
    expect(await within(host, "web1", (root) => existsSync(join(root, "var/cache")))).toBe(false);
    expect(readdirSync(upper("web1", 2)).sort()).toEqual(["root", "tmp"]);
    await host.ok("fallback", "web1");
    expect(await read("web1", "var/cache/deep/junk")).toBe("junk");
    const wrong = await host.veneer("commit", "web1", "made", "--exclude", "var");
    expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining("excluded path") });
    await host.ok("rm", "web1");
    await host.ok("base", "rm", "made");
  });

  it("has nothing to do for an instance in memory", async () => {
    await host.ok("create", "web1", "debian", "--tmpfs", "1m");
    expect((await host.veneer("commit", "web1", "apps")).stderr).toContain("keeps its writes in memory");
    await host.ok("cutover", "web1", "debian@1");
    await host.ok("fallback", "web1");
    expect(await host.ok("clone", "web1", "web2")).toBe("web2");
    expect(await read("web2", "etc/version")).toBe("3\n");
  });

  it("leaves no half of a base when it is killed", async () => {
    await host.ok("create", "web1", "debian@1");
    await write("web1", "etc/own", "mine");
    for (let when = 1; when <= 12; when++) {
      await killedAt("mkdirat,renameat2,syncfs,fsync", when, "commit", "web1", "apps");
      if ((await host.veneer("base", "show", "apps")).status !== 0) continue;
      await host.ok("create", "web2", "apps");
      expect(await read("web2", "etc/own")).toBe("mine");
      await host.ok("rm", "web2");
      await host.ok("base", "rm", "apps");
    }
    await host.ok("gc");
    expect(readdirSync(join(host.root, "layers")).length).toBeLessThanOrEqual(2);
  });
});
