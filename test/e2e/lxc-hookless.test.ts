import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { leftovers, makeBase, plantBase } from "../helpers/base.ts";
import { type Host, makeHost, must, sh } from "../helpers/host.ts";
import { eventually, type Lxc, makeLxc } from "../helpers/lxc.ts";
import { killAt } from "../helpers/strace.ts";

let host: Host;
let lxc: Lxc;
let etc: string;
let name: string;
let count = 0;

beforeAll(() => {
  host = makeHost();
  const tree = makeBase(host, "b");
  const above = join(host.dir, "above");
  mkdirSync(join(above, "etc"), { recursive: true });
  writeFileSync(join(above, "etc/os-release"), "ID=second\n");
  plantBase(host, "b", [above, tree], 2);
  const base = join(host.root, "bases/b/base.json");
  writeFileSync(base, JSON.stringify({ current: 1, last: 2 }));
  lxc = makeLxc(host);
  etc = join(host.dir, "etc");
  mkdirSync(join(etc, "lxc"), { recursive: true });
  writeFileSync(join(etc, "lxc/default.conf"), "lxc.net.0.type = empty\n");
});
beforeEach(() => {
  name = `c${++count}`;
  lxc.expect(name);
});
afterAll(async () => {
  await lxc.stopAll();
  await host.remove();
});

const place = () => ["--lxcpath", lxc.path, "--etc", etc];
const setup = (...args: string[]) => host.veneer("setup", "lxc", name, ...args, ...place());
const hookless = async (...args: string[]) => {
  const outcome = await setup("--base", "b", "--hookless", ...args);
  expect(outcome).toMatchObject({ status: 0 });
};
const unsetup = () => host.veneer("unsetup", "lxc", name, ...place());
const config = () => join(lxc.path, name, "config");
const rootLine = () => /^ *lxc\.rootfs\.path *= *(.*)$/m.exec(readFileSync(config(), "utf8"))?.[1] as string;
const view = (...parts: string[]) => join(host.root, "instances", name, "lxc", ...parts);
const run = (script: string) => lxc.execute(name, "/bin/sh", "-c", script);

async function started(): Promise<string> {
  const text = readFileSync(config(), "utf8");
  if (!text.includes("lxc.init.cmd")) writeFileSync(config(), `${text}lxc.init.cmd = /bin/sleep 1000\n`);
  expect(await lxc.tool("start", name, "-d")).toMatchObject({ status: 0 });
  const { stdout } = await lxc.tool("info", name, "-pH");
  return stdout;
}
const stopped = () => must("lxc-stop", ["-P", lxc.path, "-n", name, "-k"]);

describe("setup lxc NAME --hookless", () => {
  test("lets LXC mount the instance, which keeps its writes", async () => {
    await hookless();
    expect(rootLine()).toBe(`overlay:${host.dir}/tree-b:${view("empty")}:${view("1-b@1", "upper")}`);
    expect(readFileSync(config(), "utf8")).not.toContain("hook");
    const script = "cat /etc/os-release; ls -A /tmp; echo kept >/etc/made; rm /etc/group";
    expect(await run(script)).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    expect(await run("cat /etc/made; test ! -e /etc/group")).toMatchObject({ status: 0, stdout: "kept" });
    expect(await host.ok("diff", name)).toContain("D /etc/group\nA /etc/made");
    expect(readdirSync(join(host.root, "instances", name, "1")).sort()).toEqual(["olwork", "upper", "work"]);
    const again = await setup("--base", "b", "--hookless");
    expect(again).toMatchObject({ status: 0, stdout: "" });
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("gives a container back byte for byte, whatever cutover made of its line", async () => {
    const rootfs = lxc.container(name, { only: [] });
    const text = `lxc.net.0.type=empty\n  lxc.rootfs.path=dir:${rootfs} \n# end`;
    writeFileSync(config(), text);
    await hookless();
    await host.ok("cutover", name, "b@2");
    expect(rootLine()).toContain("/2-b@2/upper");
    expect(await unsetup()).toMatchObject({ status: 0 });
    expect(readFileSync(config(), "utf8")).toBe(text);
    expect(await host.ok("mount", name)).toBeTruthy();
    await host.ok("umount", name);
  });

  test("and back to the hook, on the same instance", async () => {
    await hookless();
    await run("echo kept >/etc/made");
    expect(await setup("--instance", name)).toMatchObject({ status: 0 });
    expect(rootLine()).toBe(`dir:${lxc.path}/${name}/veneer`);
    expect(existsSync(view("config"))).toBe(false);
    expect(await run("cat /etc/made")).toMatchObject({ status: 0, stdout: "kept" });
    await hookless();
    expect(await run("cat /etc/made")).toMatchObject({ status: 0, stdout: "kept" });
    await unsetup();
    expect(existsSync(join(lxc.path, name))).toBe(false);
    await host.ok("rm", name);
  });

  test("shows what it would write", async () => {
    const dry = await setup("--base", "b", "--hookless", "--dry-run");
    expect(dry.stdout).toContain(`/tree-b:${view("empty")}:${view("1-b@1", "upper")}`);
    expect(existsSync(join(host.root, "instances", name))).toBe(false);
    expect(existsSync(join(lxc.path, name))).toBe(false);
  });

  test.each([1, 2, 3, 4, 5, 6])(
    "killed at rename %i, and its reverse too, can be done again",
    async (when) => {
      lxc.container(name, { only: [] });
      const text = readFileSync(config(), "utf8");
      const killed = killAt({ call: "renameat2", when });
      const veneer = join(host.bin, "veneer");
      const words = ["setup", "lxc", name, "--base", "b", "--hookless", ...place()];
      expect((await sh("strace", [...killed, veneer, ...words])).status).not.toBe(0);
      await hookless();
      expect(await run("echo kept >/etc/made")).toMatchObject({ status: 0 });
      await sh("strace", [...killed, veneer, "unsetup", "lxc", name, ...place()]);
      expect(await unsetup()).toMatchObject({ status: 0 });
      expect(readFileSync(config(), "utf8")).toBe(text);
      expect(readFileSync(`${await host.ok("mount", name)}/etc/made`, "utf8")).toBe("kept\n");
      await host.ok("umount", name);
    },
  );

  test.each([
    ["a user namespace", "lxc.idmap = u 0 200000 65536", "cannot mount this overlay in one"],
    ["an overlay of its own", "lxc.rootfs.path = overlay:/a:/b", "'veneer adopt"],
  ])("refuses a container with %s", async (_, line, message) => {
    lxc.container(name, { only: [], lines: [line] });
    const text = readFileSync(config(), "utf8");
    const outcome = await setup("--base", "b", "--hookless");
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain(message);
    expect(readFileSync(config(), "utf8")).toBe(text);
  });

  test("refuses layers that LXC's line cannot hold, also when a cutover would lead there", async () => {
    const odd = join(host.dir, "with,comma");
    await must("cp", ["-a", join(host.dir, "tree-b"), odd]);
    plantBase(host, "odd", odd);
    const outcome = await setup("--base", "odd", "--hookless");
    expect(outcome.stderr).toMatch(/with,comma' has a character with .*; hint: set the container up without/);
    expect(existsSync(join(lxc.path, name))).toBe(false);
    await hookless("--instance", `${name}-fits`);
    const line = rootLine();
    for (const verb of ["cutover", "rebase"]) {
      const refused = await host.veneer(verb, `${name}-fits`, "odd");
      expect(refused.stderr).toContain("has a character with a special meaning");
    }
    expect(rootLine()).toBe(line);
    expect(await run("cat /etc/os-release")).toMatchObject({ status: 0 });
  });

  test("refuses an instance that keeps its writes in memory, or that another container mounts", async () => {
    await host.ok("create", `${name}-memory`, "b", "--tmpfs", "1m");
    expect((await setup("--instance", `${name}-memory`, "--hookless")).stderr).toContain("in memory");
    await hookless();
    const first = name;
    name = `${name}-other`;
    lxc.expect(name);
    const refused = await setup("--instance", first, "--hookless");
    expect(refused.stderr).toContain(`instance ${first} is the root of LXC container ${first}`);
    expect(existsSync(config())).toBe(false);
  });
});

describe("an instance that LXC mounts", () => {
  // one that is made would have all that common.conf sets up
  beforeEach(() => void lxc.container(name, { only: [] }));

  test("follows cutover, fallback and rebase", async () => {
    await hookless();
    await run("echo kept >/etc/made");
    await host.ok("rebase", name, "b@2");
    expect(rootLine()).toBe(`overlay:${host.dir}/above:${host.dir}/tree-b:${view("1-b@2", "upper")}`);
    expect(await run("cat /etc/os-release /etc/made")).toMatchObject({ stdout: "ID=second\nkept" });
    await host.ok("cutover", name, "b@1");
    expect(await run("cat /etc/os-release; test ! -e /etc/made")).toMatchObject({
      status: 0,
      stdout: "ID=veneer-test",
    });
    await host.ok("fallback", name);
    expect(await run("cat /etc/os-release /etc/made")).toMatchObject({ stdout: "ID=second\nkept" });
  });

  test("is seen while it runs, and nothing else gets it", async () => {
    await hookless();
    const pid = await started();
    const [shown] = JSON.parse(await host.ok("ps", "--json")).filter(
      (row: { container: string }) => row.container === name,
    );
    expect(shown).toMatchObject({ engine: "lxc", instance: name, base: "b", version: 1, pid: Number(pid) });
    expect(Math.abs(Date.parse(shown.since) - Date.now())).toBeLessThan(60_000);
    expect(JSON.parse(await host.ok("inspect", name, "--json"))).toMatchObject({
      state: "running",
      lxc: config(),
      holder: { engine: "lxc", container: name, pid: Number(pid) },
    });
    const line = rootLine();
    const before = readFileSync(config(), "utf8");
    for (const words of [
      ["cutover", name, "b@2"],
      ["rebase", name, "b@2"],
      ["clone", name, `${name}-copy`],
      ["commit", name, "new"],
    ]) {
      const outcome = await host.veneer(...words);
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).toContain(
        `instance ${name} is held by container ${name} (lxc), process ${pid}, since ${shown.since}`,
      );
    }
    for (const words of [
      ["rm", name],
      ["mount", name],
      ["run", "b", "--name", name, "--", "/bin/true"],
    ]) {
      const outcome = await host.veneer(...words);
      expect(outcome.status).not.toBe(0);
      expect(outcome.stderr).toContain(`instance ${name} is the root of LXC container ${name}`);
    }
    expect((await unsetup()).stderr).toContain("is held by container");
    expect((await setup("--instance", name)).stderr).toContain("is held by container");
    expect((await host.veneer("base", "rm", "b@1")).stderr).toContain("b@1 is used by instance ");
    expect(await host.ok("base", "log", "b", "--json")).toContain(`"instance ${name}"`);
    await host.ok("gc");
    expect(readFileSync(config(), "utf8")).toBe(before);
    expect(rootLine()).toBe(line);
    expect(await lxc.tool("attach", name, "--", "/bin/touch", "/etc/made")).toMatchObject({ status: 0 });
    await stopped();
    expect(JSON.parse(await host.ok("ps", "--json"))).toEqual([]);
    await host.ok("cutover", name, "b@2");
    expect(await run("cat /etc/os-release")).toMatchObject({ stdout: "ID=second" });
  });

  test("is refused to a hook, also while it does not run", async () => {
    await hookless();
    const hooked = `${name}-hooked`;
    lxc.container(hooked, { hook: `--instance ${name}` });
    const outcome = await lxc.execute(hooked, "/bin/true");
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toContain(
      `instance ${name} is the root of LXC container ${name}, and LXC mounts it; hint: 'veneer unsetup lxc ${name}' frees it`,
    );
    await unsetup();
    expect(await lxc.execute(hooked, "/bin/true")).toMatchObject({ status: 0 });
  });

  test("cannot be started on a line of before: neither while it is changed nor later", async () => {
    await hookless();
    await run("echo kept >/etc/made");
    const stale = readFileSync(config(), "utf8");
    await host.ok("cutover", name, "b@2");
    const current = readFileSync(config(), "utf8");
    writeFileSync(config(), stale);
    expect((await run("true")).status).not.toBe(0);
    expect(lxc.log()).toContain(`Failed to create directory "${view("1-b@1", "upper")}"`);
    expect(readlinkSync(view("1-b@1"))).toContain("/dev/null/");
    await host.ok("gc");
    expect(readFileSync(config(), "utf8")).toBe(current);
    expect(await run("cat /etc/os-release; test ! -e /etc/made")).toMatchObject({ stdout: "ID=second" });
  });

  test.each([
    ["renameat2", 1],
    ["renameat2", 2],
    ["renameat2", 4],
    ["renameat2", 5],
    ["symlinkat", 2],
  ])("comes up after a rebase that was killed at %s %i and a gc", async (call, when) => {
    await hookless();
    await run("echo kept >/etc/made");
    const killed = killAt({ call, when });
    const words = [join(host.bin, "veneer"), "rebase", name, "b@2"];
    expect((await sh("strace", [...killed, ...words])).status).not.toBe(0);
    await host.ok("gc");
    const version = JSON.parse(await host.ok("inspect", name, "--json")).version as number;
    expect(await run("cat /etc/os-release /etc/made")).toMatchObject({
      status: 0,
      stdout: `${version === 1 ? "ID=veneer-test" : "ID=second"}\nkept`,
    });
    expect(rootLine()).toContain(`/1-b@${version}/upper`);
    expect(readdirSync(view()).filter((one) => /\.[0-9a-f]{12}$/.test(one))).toEqual([]);
  });

  test("a start in the middle of a rebase gets the one state or the other, or none", async () => {
    await hookless();
    await run("echo kept >/etc/made");
    const both = await Promise.all([
      host.veneer("rebase", name, "b@2"),
      run("cat /etc/os-release /etc/made"),
      run("cat /etc/os-release /etc/made"),
    ]);
    const version = both[0].status === 0 ? 2 : 1;
    expect(JSON.parse(await host.ok("inspect", name, "--json")).version).toBe(version);
    for (const { status, stdout } of both.slice(1)) {
      if (status === 0) expect(stdout).toMatch(/^ID=(veneer-test|second)\nkept$/);
    }
    expect(await run("cat /etc/made")).toMatchObject({ status: 0, stdout: "kept" });
  });

  test("stays when lxc-destroy removes its container", async () => {
    await hookless();
    await run("echo kept >/etc/made");
    await must("lxc-destroy", ["-P", lxc.path, "-n", name]);
    expect(existsSync(join(lxc.path, name))).toBe(false);
    expect(await host.ok("diff", name)).toContain("A /etc/made");
    await host.ok("clone", name, `${name}-copy`);
    await host.ok("rm", name);
  });

  test("may go when its container has another root, or is gone", async () => {
    await hookless();
    expect((await host.veneer("rm", name)).status).toBe(1);
    await must("rm", ["-r", join(lxc.path, name)]);
    await host.ok("gc");
    await host.ok("rm", name);
    await eventually(() => (existsSync(join(host.root, "instances", name)) ? undefined : true));
  });
});
