import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { type Host, makeHost } from "../helpers/host.ts";
import { type Lxc, makeLxc } from "../helpers/lxc.ts";
import { grantIds } from "../helpers/userns.ts";

let host: Host;
let lxc: Lxc;

beforeAll(() => {
  host = makeHost();
  makeBase(host, "b");
  lxc = makeLxc(host);
});
afterAll(async () => {
  await lxc.stopAll();
  await host.remove();
});

/** Starts a container that must not start; returns veneer's line from the stderr of lxc-execute. */
async function refusal(name: string): Promise<string> {
  const outcome = await lxc.execute(name, "/bin/touch", "/started");
  expect(outcome.status).not.toBe(0);
  await expect.poll(() => leftovers(host)).toEqual([]);
  const lines = outcome.stderr.split("\n").filter((line) => line.startsWith("veneer: "));
  expect(lines).toHaveLength(1);
  return lines[0] as string;
}

describe("an idmapped root", () => {
  const reason = "LXC would bypass the overlay with it: remove idmap= from lxc.rootfs.options";

  test("is refused with the reason", async () => {
    lxc.container("idmap", { lines: ["lxc.rootfs.options = noatime,idmap=container"] });
    expect(await refusal("idmap")).toBe(
      `veneer: container idmap has lxc.rootfs.options = noatime,idmap=container (in ${lxc.path}/idmap/config); hint: ${reason} [IDMAPPED_ROOT]`,
    );
  });

  test("is refused when an included file sets it", async () => {
    const inner = join(host.dir, "inner.conf");
    const outer = join(host.dir, "outer.conf");
    writeFileSync(inner, '  lxc.rootfs.options="idmap=container"\n');
    writeFileSync(outer, `# lxc.rootfs.options = ro\nlxc.include = ${inner}\n`);
    lxc.container("idmap-included", { lines: [`lxc.include=${outer}`] });
    expect(await refusal("idmap-included")).toContain(`(in ${inner}); hint: ${reason}`);
  });
});

test("an overlay of LXC's own is refused with a hint", async () => {
  const rootfs = lxc.container("overlay");
  lxc.container("overlay", { lines: [`lxc.rootfs.path = overlay:${join(host.dir, "tree-b")}:${rootfs}`] });
  const line = await refusal("overlay");
  expect(line).toContain("LXC would put an overlay of its own over the base");
  expect(line).toContain("hint: set lxc.rootfs.path = dir:DIRECTORY with an empty directory");
});

test("an unprivileged container is refused at pre-mount", async () => {
  chmodSync(host.dir, 0o711);
  lxc.container("unprivileged", { lines: ["lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 200000 65536"] });
  const takeBack = await grantIds(host, 200000, 65536);
  try {
    expect(await refusal("unprivileged")).toContain(
      "container unprivileged is unprivileged (lxc.idmap), and its root is not the owner of ",
    );
  } finally {
    await takeBack();
  }
});

test.each([
  ["no-base", "--base nosuch", `start no-base: no base nosuch in `],
  ["bad-base", "--base ../../etc", "base name '../../etc' is not valid"],
  ["bad-option", "--base b --no-such", "unknown option '--no-such' of hook"],
  [
    "Upper",
    "--base b --persistent",
    "the container's name as instance name 'Upper' is not valid; hint: give the instance a name",
  ],
])("a wrong hook line of %s is told to the user", async (name, hook, message) => {
  lxc.container(name, { hook });
  expect(await refusal(name)).toContain(message);
});

test("a hook type that nothing is done for is told to the user", async () => {
  lxc.container("type", { only: [`lxc.hook.mount = ${join(host.bin, "veneer")} hook lxc --base b`] });
  const outcome = await lxc.execute("type", "/bin/true");
  expect(outcome.status).not.toBe(0);
  expect(outcome.stderr).toContain("veneer: veneer hook lxc does nothing at 'mount'; hint: ");
});

describe("a wrong value in lxc.environment", () => {
  test.each([
    ["VENEER_BASE=../x", "environment variable VENEER_BASE: base name '../x' is not valid"],
    ["VENEER_UPPER=for-ever", "environment variable VENEER_UPPER: value 'for-ever' is not valid"],
    ["VENEER_BAES=b", "environment variable VENEER_BAES: unknown key"],
  ])("%s is told to the user", async (value, message) => {
    const hook = `lxc.hook.pre-mount = ${join(host.bin, "veneer")} hook lxc`;
    lxc.container("value", { only: [hook, `lxc.environment = ${value}`] });
    expect(await refusal("value")).toContain(message);
  });
});

describe("a hostile container name", () => {
  const names = [
    "a b",
    "--persistent",
    "--base=other",
    "..veneer",
    "$(touch pwned)",
    "a;touch pwned",
    "quo'te\"",
    "tab\there",
    "esc\u001b[2J",
    "grüße",
    "x".repeat(200),
  ];

  test.each(names)("%j starts with lxc.hook.version 1 and leaves nothing", async (name) => {
    lxc.container(name);
    expect(await lxc.execute(name, "/bin/cat", "/etc/os-release")).toMatchObject({
      stdout: "ID=veneer-test",
    });
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test.each(names.filter((name) => !/^[\w.]+$/.test(name)))("%j is refused with version 0", async (name) => {
    lxc.container(name, { hookVersion: 0 });
    const outcome = await lxc.execute(name, "/bin/touch", "/started");
    expect(outcome.status).not.toBe(0);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("never becomes the name of an upper", async () => {
    for (const name of names) {
      lxc.container(name, { hook: "--base b --persistent" });
      await lxc.execute(name, "/bin/true");
    }
    const made = existsSync(join(host.root, "instances")) ? readdirSync(join(host.root, "instances")) : [];
    expect(made).toEqual([]);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("cannot bring control characters into a message", async () => {
    lxc.container("esc\u001b[2J", { hook: "--base nosuch" });
    const outcome = await lxc.execute("esc\u001b[2J", "/bin/true");
    expect(outcome.stderr).toContain("veneer: start 'esc\\x1b[2J': no base nosuch in ");
  });
});
