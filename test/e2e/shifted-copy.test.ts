/** Kernels that cannot idmap a base's layers: a refusal that says what to do, and copies with shifted owners. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Config, makeBundle, nextId } from "../helpers/bundle.ts";
import { must, PROGRAM, PROJECT, sh, storeOptions } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { inject, tryStrace } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";
import { mapIds, openTo, range } from "../helpers/userns.ts";

const host = useHost();
const tree = join(host.dir, "tree");
const NAME = "u0-100000-65536.g0-100000-65536";
let layer: string;
let before: string;

beforeAll(async () => {
  tryStrace();
  makeTree(tree);
  writeFileSync(join(tree, "etc/daemon"), "of uid 33\n");
  linkSync(join(tree, "etc/daemon"), join(tree, "etc/linked"));
  chownSync(join(tree, "etc/daemon"), 33, 34);
  execFileSync("setfacl", ["-m", "u:7:rw", join(tree, "etc/daemon")]);
  writeFileSync(join(tree, "etc/beyond"), "of uid 90000\n");
  chownSync(join(tree, "etc/beyond"), 90000, 90000);
  copyFileSync("/bin/busybox", join(tree, "bin/suid"));
  chownSync(join(tree, "bin/suid"), 5, 6);
  chmodSync(join(tree, "bin/suid"), 0o6755);
  copyFileSync("/bin/busybox", join(tree, "bin/capable"));
  execFileSync("setcap", ["cap_net_raw+ep", join(tree, "bin/capable")]);
  await host.ok("base", "import", "b", tree);
  plantBase(host, "placed", tree);
  openTo(host);
  layer = join(host.root, "layers", readdirSync(join(host.root, "layers"))[0] as string);
  before = await treeManifest(join(layer, "tree"));
  // makes the user namespace that is kept for these ids, with mounts of its own
  expect(await run("true")).toMatchObject({ status: 0 });
  // as on a kernel without idmapped mounts: the first of these calls asks whether there is one, the second idmaps a layer
  const strace = `strace ${inject("mount_setattr", "error=EINVAL:when=2").join(" ")}`;
  const script = `exec ${strace} ${PROGRAM} ${storeOptions(host).join(" ")} "$@"`;
  writeFileSync(join(host.bin, "veneer"), `#!/bin/sh\n${script}\n`);
  // the runtime behind it is not traced
  const wrapper = `exec ${strace} -b execve ${join(PROJECT, "dist/veneer-runc")} "$@"`;
  writeFileSync(join(host.bin, "veneer-runc"), `#!/bin/sh\n${wrapper}\n`);
});
afterEach(async () => {
  await expect
    .poll(() => leftovers(host).filter((path) => !/^(store\/instances|run\/held)\//.test(path)))
    .toEqual([]);
  if (existsSync(layer)) expect(await treeManifest(join(layer, "tree"))).toBe(before);
});

let count = 0;
const CONFIG = join(host.dir, "config.json");

/** A container of the wrapping runtime; `config`: the administrator's. */
function run(command: string, annotations: Record<string, string> = {}, config: object = {}) {
  const dir = makeBundle(join(host.dir, `bundle${++count}`), command, (bundle: Config) => {
    bundle.annotations = { "run.veneer.base": "b", ...annotations };
    mapIds(bundle, range(100000));
  });
  writeFileSync(CONFIG, JSON.stringify({ root: host.root, run: host.run, ...config }));
  const words = ["--veneer-store", "", "", CONFIG, "--root", join(host.dir, "state"), "run", "--bundle", dir];
  return sh(join(host.bin, "veneer-runc"), [...words, nextId()], { env: { PATH: host.path } });
}

const copies = () => readdirSync(layer).includes("shifted") && readdirSync(join(layer, "shifted"));

describe("where layers cannot be idmapped", () => {
  it("a start is refused with the kernel that is needed and what to do instead", async () => {
    const outcome = await run("true");
    expect(outcome.status).toBe(1);
    for (const said of ["Linux 5.19", "--shifted-copy", "veneer base shift b@1 --uidmap 0:100000:65536"]) {
      expect(outcome.stderr).toContain(said);
    }
    expect(copies()).toBe(false);
  });

  it("an annotation of the container's makes no copy", async () => {
    expect(await run("true", { "run.veneer.shifted-copy": "true" })).toMatchObject({ status: 1 });
    expect(copies()).toBe(false);
  });

  it("an instance is refused, whose ids are plain", async () => {
    const wishes = { "run.veneer.instance": "i", "run.veneer.upper": "persistent" };
    const outcome = await run("true", wishes, { shiftedCopy: true });
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining("ephemeral upper") });
    expect(existsSync(join(host.root, "instances/i"))).toBe(false);
  });

  it("a base in place is refused, which is outside of the store", async () => {
    const outcome = await run("true", { "run.veneer.base": "placed" }, { shiftedCopy: true });
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining("without --in-place") });
  });

  it("the first start makes the copy where the administrator allows it, and later ones share it", async () => {
    const script = `stat -c '%u:%g %a %n' / /etc/daemon /etc/linked /etc/beyond /bin/suid
      touch /new; stat -c %u /new; echo x >> /etc/daemon; chown 5:6 /etc/daemon; stat -c %u:%g /etc/daemon
      rm /etc/os-release; mkdir /home/d; mv /home/d /home/e; ls -A /tmp`;
    const shown = `0:0 755 /
33:34 664 /etc/daemon
33:34 664 /etc/linked
65534:65534 644 /etc/beyond
5:6 6755 /bin/suid
0
5:6`;
    expect(await run(script, {}, { shiftedCopy: true })).toEqual({ status: 0, stdout: shown, stderr: "" });
    expect(copies()).toEqual([NAME]);
    const copy = join(layer, "shifted", NAME);
    const made = await must("stat", ["-c", "%i %W", copy]);
    // without being allowed: it is there
    expect(await run(script)).toEqual({ status: 0, stdout: shown, stderr: "" });
    expect(await must("stat", ["-c", "%i %W", copy])).toBe(made);
    expect(await must("getcap", ["-n", join(copy, "bin/capable")])).toContain(
      "cap_net_raw=ep [rootid=100000]",
    );
    expect(await must("getfacl", ["-npc", join(copy, "etc/daemon")])).toContain("user:100007:rw-");
    expect(await must("stat", ["-c", "%h", join(copy, "etc/daemon")])).toBe("2");
  });

  it("gc and verify leave the copy, and it goes with the base", async () => {
    await host.ok("base", "shift", "b", "--uidmap", "0:300000:65536");
    await host.ok("base", "shift", "b", "--uidmap", "0:300000:65536");
    await host.ok("gc");
    await host.ok("base", "verify", "b");
    expect(copies()).toEqual([NAME, "u0-300000-65536.g0-300000-65536"].sort());
    const script = "stat -c %u /etc/daemon";
    const ran = await host.veneer("run", "b", "--uidmap", "0:300000:65536", "--", "sh", "-c", script);
    expect(ran).toMatchObject({ status: 0, stdout: "33" });
  });

  it.each([
    [[], "no ids are given"],
    [["--uidmap", "x"], "CONTAINER:HOST:SIZE"],
    [["--gidmap", "0:1:1"], "--uidmap"],
  ])("base shift %j is wrong usage", async (options, said) => {
    const outcome = await host.veneer("base", "shift", "b", ...options);
    expect(outcome).toMatchObject({ status: 2, stderr: expect.stringContaining(said) });
  });
});

describe("removal", () => {
  it("takes the copies with the base", async () => {
    await host.ok("base", "rm", "b");
    expect(existsSync(layer)).toBe(false);
  });
});
