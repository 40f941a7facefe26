import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { type Host, makeHost, sh } from "../helpers/host.ts";
import { eventually, type Lxc, makeLxc } from "../helpers/lxc.ts";

let host: Host;
let lxc: Lxc;

beforeAll(async () => {
  host = makeHost();
  makeBase(host, "b");
  lxc = makeLxc(host);
  await setUp("web");
  await run("web", "echo of-web >/etc/who; test ! -e /etc/group");
});
afterEach(() => expect.poll(() => leftovers(host)).toEqual([]));
afterAll(async () => {
  await lxc.stopAll();
  await host.remove();
});

async function setUp(name: string): Promise<void> {
  lxc.expect(name);
  const place = ["--lxcpath", lxc.path, "--etc", join(host.dir, "etc")];
  await host.ok("setup", "lxc", name, "--base", "b", "--persistent", "--mask", "/etc/group", ...place);
  appendFileSync(join(lxc.path, name, "config"), "lxc.init.cmd = /bin/sleep 300\nlxc.net.0.type = empty\n");
}

async function run(name: string, script: string): Promise<string> {
  const done = await lxc.execute(name, "/bin/sh", "-c", script);
  if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
  return done.stdout;
}
const copy = (name: string, ...options: string[]) => {
  lxc.expect(name);
  return sh("lxc-copy", ["-P", lxc.path, "-n", "web", "-N", name, ...options], { cwd: host.dir });
};
const config = (name: string) => readFileSync(join(lxc.path, name, "config"), "utf8");
const instances = async () =>
  JSON.parse(await host.ok("ls", "--json"))
    .map(({ id }: { id: string }) => id)
    .sort();

describe("lxc-copy of a container with an instance", () => {
  test.each([
    ["copied", []],
    ["snapped", ["-s", "-B", "overlay"]],
  ])("gives %s a copy of the instance", async (name, options) => {
    const done = await copy(name, ...options);
    expect(done.status, done.stderr).toBe(0);
    expect(await run(name, `cat /etc/who; echo of-${name} >/etc/who`)).toBe("of-web");
    expect(await run("web", "cat /etc/who")).toBe("of-web");
    expect(await run(name, "cat /etc/who; test ! -e /etc/group")).toBe(`of-${name}`);
    expect(config(name)).toContain(`--container ${name} --instance ${name}`);
    expect(await instances()).toContain(name);
  });

  test("is refused while the instance is in use, and leaves no copy", async () => {
    await host.ok("mount", "web");
    expect((await copy("held")).status).not.toBe(0);
    await host.ok("umount", "web");
    expect(await instances()).not.toContain("held");
  });

  test("with its hooks for the original's instance does not start", async () => {
    lxc.container("forged", {
      only: config("web")
        .split("\n")
        .filter((line) => line.includes("lxc.hook.")),
    });
    const done = await lxc.execute("forged", "/bin/true");
    expect(done.status).not.toBe(0);
    expect(done.stderr).toContain("belong to container web");
  });

  test("renames it, with a copy of the instance too", async () => {
    expect((await copy("first")).status).toBe(0);
    lxc.expect("renamed");
    const rename = ["-P", lxc.path, "-n", "first", "-N", "renamed", "-R"];
    const renamed = await sh("lxc-copy", rename, { cwd: host.dir });
    expect(renamed.status, renamed.stderr).toBe(0);
    expect(await run("renamed", "cat /etc/who")).toBe("of-web");
    expect(config("renamed")).toContain("--container renamed --instance renamed");
  });
});

test("lxc-snapshot keeps the instance's state, and restores it", async () => {
  await setUp("plain");
  await run("plain", "echo before >/etc/who");
  const snapshot = (...words: string[]) => lxc.tool("snapshot", "plain", ...words);
  const made = await snapshot();
  expect(made.status, made.stderr).toBe(0);
  expect(await instances()).toContain("plain.snap0");
  await run("plain", "echo later >/etc/who");
  lxc.expect("restored");
  const other = await snapshot("-r", "snap0", "-N", "restored");
  expect(other.status, other.stderr).toBe(0);
  expect(await run("restored", "cat /etc/who")).toBe("before");
  expect(await run("plain", "cat /etc/who")).toBe("later");
  const back = await snapshot("-r", "snap0");
  expect(back.status, back.stderr).toBe(0);
  expect(await run("plain", "cat /etc/who")).toBe("before");
  // what was there before the restoration is not lost
  expect(config("plain")).toContain("--instance plain.2");
  expect(await instances()).toContain("plain");
});

test("an ephemeral copy leaves no instance behind", async () => {
  const before = await instances();
  lxc.expect("gone");
  const done = await copy("gone", "-e");
  expect(done.status, done.stderr).toBe(0);
  const look = await lxc.tool("attach", "gone", "--", "/bin/cat", "/etc/who");
  await lxc.tool("stop", "gone", "-k");
  await eventually(() => (existsSync(join(lxc.path, "gone")) ? undefined : true));
  expect(look.stdout).toBe("of-web");
  expect(await instances()).toEqual(before);
});
