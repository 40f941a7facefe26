import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers } from "../helpers/base.ts";
import { type Host, makeHost, must, sh } from "../helpers/host.ts";
import { type Lxc, makeLxc } from "../helpers/lxc.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { killAt, momentsOf, recordTo } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";

let host: Host;
let lxc: Lxc;
let template: string;

beforeAll(async () => {
  host = makeHost();
  lxc = makeLxc(host);
  const tree = makeTree(join(host.dir, "tree"));
  mkdirSync(join(tree, "opt/replaced/inner"), { recursive: true });
  for (const name of ["opt/gone", "opt/kept", "opt/replaced/old", "opt/replaced/inner/deep"]) {
    writeFileSync(join(tree, name), `${name}\n`);
  }
  writeFileSync(join(host.dir, "lxc.conf"), "lxc.net.0.type = empty\nlxc.mount.auto = proc\n");
  template = join(host.dir, "template");
  writeFileSync(
    template,
    `#!/bin/sh\nfor a; do case $a in --rootfs=*) cp -a ${tree}/. "\${a#*=}/" ;; esac; done\n`,
    { mode: 0o755 },
  );
  lxc.expect("origin");
  const create = ["-P", lxc.path, "-t", template, "-f", join(host.dir, "lxc.conf")];
  await must("lxc-create", [...create, "-n", "origin"]);
  await host.ok("base", "import", "b", join(lxc.path, "origin/rootfs"));
});
afterAll(async () => {
  await lxc.stopAll();
  await host.remove();
});

const configOf = (name: string) => join(lxc.path, name, "config");
const adopt = (name: string, ...args: string[]) => host.veneer("adopt", name, "--lxcpath", lxc.path, ...args);

const CHANGES = `
  echo changed >>/etc/group; rm /opt/gone; rm -r /opt/replaced; mkdir /opt/replaced; echo new >/opt/replaced/new
  ln /opt/kept /opt/kept-too; ln -s nowhere /etc/link; mkdir -p /srv/new/deep; mv /home /house
  chmod 4711 /opt/kept; chown 1000:1000 /srv/new; echo x >/tmp/x; touch -d '2001-02-03 04:05:06' /etc/passwd`;

/** A container with an overlay of its own, made by lxc-copy or lxc-create, that has run and changed things. */
async function foreign(name: string, kind: "copy" | "create" = "copy"): Promise<string> {
  lxc.expect(name);
  if (kind === "copy") {
    await must("lxc-copy", ["-P", lxc.path, "-n", "origin", "-N", name, "-s", "-B", "overlay"]);
  } else {
    const create = ["-P", lxc.path, "-t", template, "-f", join(host.dir, "lxc.conf")];
    await must("lxc-create", [...create, "-n", name, "-B", "overlay"]);
  }
  expect(await lxc.execute(name, "/bin/sh", "-ec", CHANGES)).toMatchObject({ status: 0 });
  const upper = /^lxc\.rootfs\.path = overlay:.*:(.*)$/m.exec(readFileSync(configOf(name), "utf8"))?.[1];
  await must("setfattr", ["-n", "user.own", "-v", "1", join(upper as string, "etc/group")]);
  return upper as string;
}

/** What the container shows with LXC's own overlay. */
async function ownView(name: string): Promise<string> {
  const root = /^lxc\.rootfs\.path = overlay:(.*):(.*)$/m.exec(readFileSync(configOf(name), "utf8"));
  const dir = join(host.dir, `view-${name}`);
  mkdirSync(dir, { recursive: true });
  await must("mount", ["-t", "overlay", "-o", `lowerdir=${root?.[2]}:${root?.[1]}`, "own", dir]);
  const manifest = await treeManifest(dir);
  await must("umount", [dir]);
  return manifest;
}

async function instanceView(id: string): Promise<string> {
  const manifest = await treeManifest(await host.ok("mount", id));
  await host.ok("umount", id);
  return manifest;
}

/** Calls at which an adoption is killed: between its parts, and where one becomes visible. */
const STEPS = ["syncfs", "renameat2", "linkat", "symlinkat"];

describe("adopt", () => {
  test.each(["copy", "create"] as const)("a container of lxc-%s shows the same afterwards", async (kind) => {
    const name = `made-by-${kind}`;
    const upper = await foreign(name, kind);
    if (kind === "create")
      await host.ok("base", "import", name, join(lxc.path, name, "rootfs"), "--in-place");
    const before = await ownView(name);
    const original = await treeManifest(upper);
    const config = readFileSync(configOf(name), "utf8");
    const outcome = await adopt(name, "--base", kind === "create" ? name : "b");
    expect(outcome).toMatchObject({ status: 0, stdout: name });
    expect(outcome.stderr).toContain(`then: lxc-start -P ${lxc.path} -n ${name}`);
    expect(await instanceView(name)).toBe(before);
    expect(await treeManifest(upper)).toBe(original);
    const script =
      "tail -1 /etc/group; ls /opt /opt/replaced; cat /tmp/x /root/of-the-base; echo more >/etc/more";
    expect(await lxc.execute(name, "/bin/sh", "-c", script)).toMatchObject({
      status: 0,
      stdout: "changed\n/opt:\nkept\nkept-too\nreplaced\n\n/opt/replaced:\nnew\nx\nnot for containers",
    });
    expect(await host.ok("diff", name)).toContain("A /etc/more");
    await expect.poll(() => leftovers(host)).toEqual([]);
    expect(existsSync(join(upper, "etc/more"))).toBe(false);
    await host.ok("unsetup", "lxc", name, "--lxcpath", lxc.path);
    expect(readFileSync(configOf(name), "utf8")).toBe(config);
    expect(await ownView(name)).toBe(before);
  });

  test("takes a directory and another name for the instance", async () => {
    await foreign("by-directory");
    const dry = await host.veneer("adopt", `${lxc.path}/by-directory/`, "--base", "b@1", "--dry-run");
    expect(dry.stdout).toMatch(/^-lxc\.rootfs\.path = overlay:/m);
    expect(await host.ok("ls")).not.toContain("by-directory");
    const outcome = await host.veneer(
      ...["adopt", `${lxc.path}/by-directory/`, "--base", "b@1", "--instance", "taken"],
    );
    expect(outcome).toMatchObject({ status: 0, stdout: "taken" });
    expect(await lxc.execute("by-directory", "/bin/tail", "-1", "/etc/group")).toMatchObject({
      stdout: "changed",
    });
    const again = await adopt("by-directory", "--base", "b");
    expect(again.stderr).toMatch(/container by-directory has no overlay of its own: .*; hint: 'veneer setup/);
  });

  test("refuses a base that is not what the changes were made on, unless forced", async () => {
    await foreign("other-lower");
    const tree = join(host.dir, "other");
    await must("cp", ["-a", join(lxc.path, "origin/rootfs"), tree]);
    writeFileSync(join(tree, "etc/os-release"), "ID=other\n");
    await host.ok("base", "import", "other", tree);
    const refused = await adopt("other-lower", "--base", "other");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/of which other@1 differs at \/etc\/os-release \(size, time\); hint: /);
    expect(refused.stderr).toContain(`'veneer base import NAME ${lxc.path}/origin/rootfs'`);
    expect(await host.ok("ls")).not.toContain("other-lower");
    expect((await adopt("other-lower", "--base", "other", "--force")).status).toBe(0);
    const run = await lxc.execute("other-lower", "/bin/sh", "-c", "cat /etc/os-release; tail -1 /etc/group");
    expect(run).toMatchObject({ status: 0, stdout: "ID=other\nchanged" });
  });

  test("refuses a container that runs", async () => {
    await foreign("runs");
    const config = `${readFileSync(configOf("runs"), "utf8")}lxc.init.cmd = /bin/sleep 1000\n`;
    writeFileSync(configOf("runs"), config);
    expect(await lxc.tool("start", "runs", "-d")).toMatchObject({ status: 0 });
    const refused = await adopt("runs", "--base", "b");
    expect(refused).toMatchObject({ status: 1 });
    expect(refused.stderr).toMatch(/container runs is running: .* is in use; hint: stop it first/);
    expect(readFileSync(configOf("runs"), "utf8")).toBe(config);
    await lxc.tool("stop", "runs", "-k");
  });

  test.each([
    ["trusted.overlay.redirect", "a directory that was renamed"],
    ["trusted.overlay.metacopy", "a file whose content is in the lower layer"],
    ["user.overlay.opaque", "an overlay of a user namespace"],
  ])("refuses an upper with %s", async (xattr, why) => {
    const name = `xattr-${xattr.replaceAll(".", "-")}`;
    const upper = await foreign(name);
    await must("setfattr", ["-n", xattr, "-v", "y", join(upper, "srv/new")]);
    const refused = await adopt(name, "--base", "b");
    expect(refused.stderr).toContain(`'/srv/new' has ${xattr}: ${why}`);
    expect(await host.ok("ls")).not.toContain(name);
  });

  test.each([
    [["origin", "--base", "b"], "container origin has no overlay of its own"],
    [["nosuch", "--base", "b"], "there is no container nosuch"],
    [["origin"], "veneer adopt needs --base BASE"],
  ])("answers %j", async (args, message) => {
    const outcome = await adopt(...(args as [string, ...string[]]));
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toContain(message);
  });

  test("of two at once one takes it, and killed at any step it can be done again", async () => {
    const upper = await foreign("contended");
    const original = await treeManifest(upper);
    const both = await Promise.all([1, 2].map(() => adopt("contended", "--base", "b")));
    expect(both.map(({ status }) => status).sort()).toEqual([0, 1]);
    expect(await treeManifest(upper)).toBe(original);
    expect(await lxc.execute("contended", "/bin/cat", "/tmp/x")).toMatchObject({ stdout: "x" });

    const veneer = join(host.bin, "veneer");
    const words = (name: string) => [veneer, "adopt", name, "--lxcpath", lxc.path, "--base", "b"];
    await foreign("recorded");
    const trace = join(host.dir, "trace");
    await must("strace", [...recordTo(trace), ...words("recorded")]);
    const moments = momentsOf(trace).filter(({ call }) => STEPS.includes(call));
    expect(moments.length).toBeGreaterThan(4);

    await foreign("interrupted");
    for (const moment of moments) {
      const { status } = await sh("strace", [...killAt(moment), ...words("interrupted")]);
      expect([moment, status === 0]).toEqual([moment, false]);
      expect(await lxc.execute("interrupted", "/bin/cat", "/tmp/x")).toMatchObject({ stdout: "x" });
      if (readdirSync(join(host.root, "instances")).includes("interrupted"))
        await host.ok("rm", "interrupted");
    }
    await host.ok("gc");
    await expect.poll(() => leftovers(host)).toEqual([]);
    expect((await adopt("interrupted", "--base", "b")).status).toBe(0);
    expect(await lxc.execute("interrupted", "/bin/cat", "/tmp/x")).toMatchObject({ stdout: "x" });
  });

  test("leaves all as it was when the disk is full", async () => {
    const upper = await foreign("too-big");
    await must("dd", ["if=/dev/zero", `of=${upper}/big`, "bs=1M", "count=8"]);
    const config = readFileSync(configOf("too-big"), "utf8");
    const small = join(host.dir, "small");
    mkdirSync(small);
    await must("mount", ["-t", "tmpfs", "-o", "size=6m", "small", small]);
    const store = ["--root", join(small, "store"), "--run", host.run];
    await host.ok(...store, "base", "import", "b", join(lxc.path, "origin/rootfs"), "--in-place");
    const outcome = await host.veneer(...store, "adopt", "too-big", "--lxcpath", lxc.path, "--base", "b");
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/No space left on device.*hint: /);
    expect(readdirSync(join(small, "store/instances"))).toEqual([]);
    expect(readdirSync(join(small, "store/staging"))).toEqual([]);
    expect(readFileSync(configOf("too-big"), "utf8")).toBe(config);
    await must("umount", [small]);
  });
});
