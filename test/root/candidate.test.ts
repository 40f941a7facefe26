import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const source = join(host.dir, "source");
const current = async () => JSON.parse(await host.ok("base", "show", "debian", "--json")).version;
const versionOf = async (id: string) => JSON.parse(await host.ok("inspect", id, "--json")).version;
const edit = (text: string) =>
  host.ok("base", "edit", "debian", "--candidate", "--json", "--", "sh", "-c", `echo ${text} >/etc/text`);

beforeAll(async () => {
  makeTree(source);
  await host.ok("base", "import", "debian", source, "--candidate");
  await host.ok("create", "web1", "debian");
  await host.ok("create", "web2", "debian");
  await host.ok("mount", "web1");
});
afterAll(() => host.remove());

describe("a candidate", () => {
  it("is not the current version, however it is made; a base's first version is", async () => {
    expect(await current()).toBe(1);
    expect(await edit("bad")).toBe('{"name":"debian","version":2,"published":true}');
    writeFileSync(join(source, "etc/imported"), "");
    const imported = await host.veneer("base", "import", "debian", source, "--candidate");
    expect(imported).toMatchObject({ status: 0, stdout: "debian@3" });
    expect(imported.stderr).toContain("rollout debian@3 --use");
    expect(await current()).toBe(1);
    await host.ok("create", "web3", "debian");
    expect(await versionOf("web3")).toBe(1);
  });

  it("that fails its check goes back, is remembered, and is tried again when that is asked for", async () => {
    const log = join(host.dir, "checked");
    const check = `echo "$VENEER_INSTANCE" >>${log}; grep -q good "$VENEER_ROOTFS/etc/text"`;
    const rollout = (...words: string[]) =>
      host.veneer("rollout", "debian@2", "--canary", "1", "--check", check, "--use", ...words);
    expect((await rollout()).status).toBe(1);
    expect([await current(), await versionOf("web1")]).toEqual([1, 1]);
    expect(readFileSync(log, "utf8")).toBe("web1\n");
    expect(await host.ok("base", "log", "debian")).toMatch(/ 2 .*failed: web1: check failed \(status 1\)/);
    const refused = await rollout();
    expect(refused).toMatchObject({ status: 1, stdout: "" });
    expect(refused.stderr).toMatch(/debian@2 failed its check at .*--retry/);
    expect(readFileSync(log, "utf8")).toBe("web1\n");
    expect((await rollout("--retry")).status).toBe(1);
    expect(readFileSync(log, "utf8")).toBe("web1\nweb1\n");
  });

  it("that proves itself becomes the current one, and takes all along", async () => {
    await edit("good");
    const done = await host.veneer(
      ...["rollout", "debian@4", "--canary", "1", "--pause", "1", "--use"],
      ...["--check", 'grep -q good "$VENEER_ROOTFS/etc/text"'],
    );
    expect(done.status, done.stderr).toBe(0);
    expect(await current()).toBe(4);
    for (const id of ["web1", "web2", "web3"]) expect(await versionOf(id)).toBe(4);
    expect(await host.ok("base", "prune", "debian", "--dry-run")).toMatch(/debian@2 +to be removed/);
  });

  it("with no instance to try it on becomes the current one by --use", async () => {
    await host.ok("base", "import", "lonely", source);
    await host.ok("base", "edit", "lonely", "--candidate", "--", "touch", "/new");
    expect((await host.veneer("rollout", "lonely@2", "--use")).status).toBe(0);
    expect(JSON.parse(await host.ok("base", "show", "lonely", "--json")).version).toBe(2);
    expect(existsSync(join(host.root, "bases/lonely/rollout"))).toBe(false);
  });
});
