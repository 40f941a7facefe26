/**
 * What CRIU is shown as a container's root is that container's, whoever has a container of the same id or mounts an overlay
 * of its name. CRIU itself need not work here: a program in its place says what it is shown.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { type Attacker, attack, lyingOverlay } from "../helpers/attacker.ts";
import { detach, makeBundle, nextId, runtime } from "../helpers/bundle.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { plantVersions } from "../helpers/live.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost("/srv");
const observer = join(host.dir, "criu");
const seen = join(host.dir, "seen");
const id = nextId();
const LOOP = "echo MARK >/etc/mine; : >/started; while :; do sleep 0.1; done";
const attackers: Attacker[] = [];

/** Starts a container of that id with runc's state in a directory of its own; returns its bundle. */
async function start(name: string, mark: string, instance: string): Promise<string> {
  const bundle = makeBundle(join(host.dir, name), LOOP.replace("MARK", mark), (config) => {
    config.annotations = {
      "run.veneer.base": "b@1",
      "run.veneer.instance": instance,
      "run.veneer.upper": "persistent",
    };
  });
  const state = join(host.dir, `state-${name}`);
  const words = ["--root", state, "run", "-d", "-b", bundle, id];
  expect(await detach(host, join(host.bin, "veneer-runc"), words)).toMatchObject({ status: 0 });
  const { stdout } = await sh("runc", ["--root", state, "state", id]);
  const { pid } = JSON.parse(stdout);
  await waitFor(() => readFileSync(`/proc/${pid}/root/etc/mine`, "utf8") === `${mark}\n`);
  return bundle;
}

/** `checkpoint` of the container in that state directory; returns what stood where CRIU looks for its root. */
async function checkpoint(name: string): Promise<{ readonly shown: string; readonly stderr: string }> {
  const rootfs = join(host.dir, name, "rootfs");
  writeFileSync(observer, `#!/bin/sh\ncat ${rootfs}/etc/mine >>${seen} 2>&1\nexit 1\n`, { mode: 0o755 });
  writeFileSync(seen, "");
  const images = join(host.dir, `images-${name}`);
  const words = ["--criu", observer, "--root", join(host.dir, `state-${name}`)];
  const call = [...words, "checkpoint", "--leave-running", "--image-path", images, id];
  const { stderr } = await sh(join(host.bin, "veneer-runc"), call, { env: { PATH: host.path } });
  return { shown: readFileSync(seen, "utf8").split("\n")[0] ?? "", stderr };
}

beforeAll(async () => {
  plantVersions(host);
  await start("mine", "of the victim", "victim");
});
beforeEach(async () => {
  for (const attacker of attackers.splice(0)) await attacker.stop();
});
afterAll(async () => {
  for (const attacker of attackers) await attacker.stop();
  for (const name of ["mine", "other"]) {
    await sh("runc", ["--root", join(host.dir, `state-${name}`), "delete", "--force", id]);
  }
  await host.remove();
});

it("one whose overlay bears the instance's name is not shown", async () => {
  attackers.push(
    await attack(`mkdir -p l/etc; echo of the liar >l/etc/mine
      ${lyingOverlay("veneer:victim", "")}
      cd m; mount --rbind /proc proc; pivot_root . old; cd /; exec 3<&1
      bin/busybox umount -l /old; echo ready; while :; do bin/busybox sleep 0.1; done`),
  );
  expect((await checkpoint("mine")).shown).toBe("of the victim");
});

it("of two containers of one id each is shown its own root", async () => {
  await start("other", "of the other", "other");
  expect((await checkpoint("mine")).shown).toBe("of the victim");
  expect((await checkpoint("other")).shown).toBe("of the other");
});

it("one of the same id makes no other's checkpoint fail", async () => {
  // the bundle of the other is gone, so that its root can be shown nowhere
  renameSync(join(host.dir, "other"), join(host.dir, "moved"));
  const { shown, stderr } = await checkpoint("mine");
  expect([shown, stderr]).toEqual(["of the victim", expect.not.stringContaining("veneer:")]);
  rmSync(join(host.dir, "moved"), { recursive: true });
  mkdirSync(join(host.dir, "other"));
  expect(await runtime(host, "runc", ["list"])).toMatchObject({ status: 0 });
});
