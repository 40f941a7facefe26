import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const source = join(host.dir, "a source: 'ü'");
const show = async (ref: string) => JSON.parse(await host.ok("base", "show", ref, "--json"));
const topLayer = async (ref: string) =>
  (await must("find", [(await show(ref)).layers[0].path, "-printf", "%P %y\n"])).split("\n").sort();
const layers = () => readdirSync(join(host.root, "layers")).length;

/** What a version shows, unpacked. */
async function unpacked(ref: string): Promise<string> {
  const directory = mkdtempSync(join(host.dir, "unpacked-"));
  await host.ok("base", "export", ref, `${directory}.tar`);
  await must("tar", ["--xattrs", "--xattrs-include=*", "-C", directory, "-xpf", `${directory}.tar`]);
  return directory;
}

/** Names, types, modes, owners, sizes, times, links and contents of a tree. */
async function listing(directory: string): Promise<string> {
  const format = "%P %y %m %U:%G %l %n %T@\n";
  const found = await must("find", [
    directory,
    "(",
    "-type",
    "f",
    "-printf",
    `%s ${format}`,
    "-o",
    "-printf",
    format,
    ")",
  ]);
  const sums = await must("sh", ["-c", 'cd "$1" && find . -type f -exec sha256sum {} +', "sh", directory]);
  return [...found.split("\n").sort(), ...sums.split("\n").sort()].join("\n");
}

beforeAll(async () => {
  makeTree(source);
  mkdirSync(join(source, "lib/deep"), { recursive: true });
  for (const name of ["one", "two"]) writeFileSync(join(source, "lib/deep", name), name);
  await must("ln", [join(source, "lib/deep/one"), join(source, "lib/link")]);
  await host.ok("base", "import", "debian", source);
});
afterAll(() => host.remove());

describe("an import that differs from the current version", () => {
  it("in nothing, or in times alone, publishes no version", async () => {
    const again = await host.veneer("base", "import", "debian", source);
    expect(again).toMatchObject({ status: 0, stdout: "debian@1" });
    expect(again.stderr).toContain("no version was published");
    utimesSync(join(source, "lib/deep/two"), 1, 1);
    expect(await host.ok("base", "import", "debian", source, "--json")).toBe(
      '{"name":"debian","version":1,"published":false}',
    );
    await must("sh", ["-c", 'tar -C "$1" -cf "$2" .', "sh", source, join(host.dir, "same.tar")]);
    expect(await host.ok("base", "import", "debian", join(host.dir, "same.tar"))).toBe("debian@1");
    // a rebuild, whose every time is another
    const rebuilt = join(host.dir, "rebuilt");
    await must("cp", ["-a", source, rebuilt]);
    await must("find", [rebuilt, "-exec", "touch", "-h", "-d", "@5", "{}", "+"]);
    expect(await host.ok("base", "import", "debian", rebuilt)).toBe("debian@1");
    expect(layers()).toBe(1);
    expect(readdirSync(join(host.root, "staging"))).toEqual([]);
  });

  it("in nothing publishes one with --always, whose layer holds nothing", async () => {
    await must("touch", ["-d", "@1700000000", source]);
    expect(await host.ok("base", "import", "debian", source, "--always")).toBe("debian@2");
    expect(await topLayer("debian")).toEqual([" d", "lib d", "lib/deep d", "lib/deep/two f"]);
  });

  it("in a little gets a layer of that alone, and shows what was imported", async () => {
    writeFileSync(join(source, "etc/changed"), "new");
    writeFileSync(join(source, "lib/deep/one"), "changed under both its names");
    rmSync(join(source, "lib/deep/two"));
    rmSync(join(source, "etc/os-release"), { force: true });
    await must("sh", [
      "-c",
      'cd "$1" && rm -r tmp && echo file >tmp && mkdir -p new/deep && : >new/deep/n',
      "sh",
      source,
    ]);
    expect(await host.ok("base", "import", "debian", source)).toBe("debian@3");
    const entries = await topLayer("debian");
    expect(entries).toContain("lib/link f");
    expect(entries).toContain("lib/deep/two c");
    expect(entries).toContain("new/deep/n f");
    expect(entries.some((entry) => entry.startsWith("bin/"))).toBe(false);
    expect(await listing(await unpacked("debian@3"))).toBe(await listing(source));
  });

  it("puts a directory in the place of a file, as a tar too", async () => {
    await must("sh", ["-c", 'cd "$1" && rm tmp && mkdir tmp && echo inside >tmp/inside', "sh", source]);
    const tar = join(host.dir, "little.tar");
    await must("tar", ["-C", source, "--format=posix", "-cf", tar, "."]);
    expect(await host.ok("base", "import", "debian", tar)).toBe("debian@4");
    expect((await topLayer("debian")).filter((entry) => entry.startsWith("bin/"))).toEqual([]);
    expect(await listing(await unpacked("debian@4"))).toBe(await listing(source));
    expect((await host.veneer("base", "verify", "debian")).status).toBe(0);
  });

  it("in most of it gets a layer of its own, and so does any with --whole", async () => {
    expect(await host.ok("base", "import", "debian", source, "--whole", "--always")).toBe("debian@5");
    expect((await show("debian")).layers).toHaveLength(1);
    const other = join(host.dir, "other");
    mkdirSync(other);
    writeFileSync(join(other, "big"), new Uint8Array(4 << 20).fill(7));
    expect(await host.ok("base", "import", "debian", other)).toBe("debian@6");
    expect((await show("debian")).layers).toHaveLength(1);
    expect(await listing(await unpacked("debian"))).toBe(await listing(other));
  });

  it("leaves out a store inside the directory", async () => {
    const outer = join(host.dir, "outer");
    makeTree(outer);
    const inner = (...args: string[]) =>
      must(join(host.bin, "veneer"), ["--root", join(outer, "srv/store"), ...args]);
    mkdirSync(join(outer, "srv"));
    expect(await inner("base", "import", "self", outer)).toBe("self@1");
    writeFileSync(join(outer, "etc/more"), "more");
    expect(await inner("base", "import", "self", outer)).toBe("self@2");
    const { layers } = JSON.parse(await inner("base", "show", "self", "--json"));
    expect(layers).toHaveLength(2);
    expect(readdirSync(layers[0].path).sort()).not.toContain("srv");
  });
});

describe("edit and commit", () => {
  it("publish nothing when the command changed nothing that shows", async () => {
    makeTree(join(host.dir, "plain"));
    await host.ok("base", "import", "plain", join(host.dir, "plain"));
    const edit = (script: string, ...options: string[]) =>
      host.veneer("base", "edit", "plain", ...options, "--", "sh", "-c", script);
    for (const script of [
      ":",
      "touch /etc/os-release",
      "echo x >/tmp/x; rm /tmp/x",
      "cp /etc/os-release /c && cat /c >/etc/os-release; rm /c",
    ]) {
      const done = await edit(script);
      expect(done, script).toMatchObject({ status: 0, stdout: "plain@1" });
      expect(done.stderr).toContain("no version was published");
    }
    expect(existsSync(join(host.root, "bases/plain/session"))).toBe(false);
    expect(await edit(":", "--always")).toMatchObject({ stdout: "plain@2", stderr: "" });
    for (const [index, script] of [
      "chmod 600 /etc/os-release",
      "rm /etc/os-release",
      "mkdir /etc/os-release",
    ].entries()) {
      expect(await edit(script), script).toMatchObject({ stdout: `plain@${index + 3}`, stderr: "" });
    }
  });

  it("of a session on an older version wants --force", async () => {
    const point = await host.ok("base", "edit", "plain");
    writeFileSync(join(point, "etc/session"), "mine");
    writeFileSync(join(host.dir, "plain/etc/imported"), "theirs");
    const imported = await host.ok("base", "import", "plain", join(host.dir, "plain"));
    const refused = await host.veneer("base", "commit", "plain");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("--force");
    const forced = await host.ok("base", "commit", "plain", "--force");
    expect(Number(forced.split("@")[1])).toBe(Number(imported.split("@")[1]) + 1);
    const root = await unpacked("plain");
    expect(existsSync(join(root, "etc/session"))).toBe(true);
    expect(existsSync(join(root, "etc/imported"))).toBe(false);
  });

  it("keeps what a command did while the base moved on", async () => {
    const script = "echo ready; read line; echo done >/etc/done";
    const child = spawn(join(host.bin, "veneer"), ["base", "edit", "plain", "--", "sh", "-c", script]);
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    await once(child.stdout, "data");
    await host.ok("base", "import", "plain", join(host.dir, "plain"), "--always");
    child.stdin.end("go\n");
    expect(await once(child, "close")).toEqual([1, null]);
    expect(said).toContain("--force");
    await host.ok("base", "commit", "plain", "--force");
    expect(existsSync(join(await unpacked("plain"), "etc/done"))).toBe(true);
  });

  it("of an instance that changed nothing publishes no version of its own base", async () => {
    await host.ok("create", "idle", "plain", "--opaque", "none");
    const { version } = await show("plain");
    expect(await host.ok("commit", "idle", "plain")).toBe(`plain@${version}`);
    expect(await host.ok("commit", "idle", "plain", "--always")).toBe(`plain@${version + 1}`);
    const behind = await host.veneer("commit", "idle", "plain");
    expect(behind.stderr).toContain("--force");
    writeFileSync(join(await host.ok("mount", "idle"), "etc/idle"), "");
    await host.ok("umount", "idle");
    expect(await host.ok("commit", "idle", "plain", "--force", "--json")).toBe(
      `{"name":"plain","version":${version + 2},"published":true}`,
    );
  });
});

it("keeps no layer twice that an export of this store is made of", async () => {
  const before = layers();
  const image = `oci:${join(host.dir, "image")}:v1`;
  await host.ok("base", "export", "plain", image);
  expect(await host.ok("base", "import", "again", image)).toBe("again@1");
  expect(layers()).toBe(before);
  const paths = async (name: string) => (await show(name)).layers.map(({ path }: { path: string }) => path);
  expect(await paths("again")).toEqual(await paths("plain"));
});

it("makes an empty base", async () => {
  expect(await host.ok("base", "new", "empty")).toBe("empty@1");
  expect((await host.veneer("base", "new", "empty")).status).toBe(1);
  const point = await host.ok("base", "edit", "empty");
  expect(readdirSync(point)).toEqual([]);
  writeFileSync(join(point, "hello"), "");
  expect(await host.ok("base", "commit", "empty")).toBe("empty@2");
});
