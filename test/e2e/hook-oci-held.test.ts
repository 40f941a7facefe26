/** `veneer hook oci` at work on a process that stands for a runtime's container process. */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeBundle, nextId } from "../helpers/bundle.ts";
import { must } from "../helpers/host.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
const children: ChildProcess[] = [];

beforeAll(() => {
  makeBase(host, "b");
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** A process that runs `script` and says "ready"; resolves then. */
async function runtimeProcess(rootfs: string, script: string, options: readonly string[] = ["--mount"]) {
  const body = `${script}\necho ready\nread -r _`;
  const child = spawn("unshare", [...options, "sh", "-c", body, "sh", rootfs], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  return child.pid as number;
}

const BIND = 'mount --bind "$1" "$1"';

async function hook(pid: number, bundle: string) {
  const state = { ociVersion: "1.0.2", id: nextId(), status: "creating", pid, bundle };
  const { execa } = await import("execa");
  const result = await execa(join(host.bin, "veneer"), ["hook", "oci", "--base", "b"], {
    input: JSON.stringify(state),
    reject: false,
  });
  return { status: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}

const bundle = (name: string) => makeBundle(join(host.dir, name), "true");
const inNamespace = (pid: number, ...command: string[]) =>
  must("nsenter", ["-t", String(pid), "-m", ...command]);

it("covers the root of a runtime that does not hold it", async () => {
  const path = bundle("free");
  const pid = await runtimeProcess(join(path, "rootfs"), `${BIND}; mount -t tmpfs tmpfs "$1"`);
  expect(await hook(pid, path)).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(await inNamespace(pid, "cat", join(path, "rootfs/etc/os-release"))).toBe("ID=veneer-test");
});

it("lets a runtime hold something else in the root", async () => {
  const path = bundle("elsewhere");
  mkdirSync(join(path, "rootfs/dev"));
  const pid = await runtimeProcess(join(path, "rootfs"), `${BIND}; exec 9<"$1/dev"`);
  expect(await hook(pid, path)).toMatchObject({ status: 0 });
});

it("knows that crun holds the root and does without", async () => {
  const crun = join(host.dir, "crun");
  copyFileSync("/bin/dash", crun);
  const path = bundle("held by crun");
  const pid = await runtimeProcess(
    join(path, "rootfs"),
    `${BIND}; exec 9<"$1"; exec "${crun}" -c 'echo ready; read -r _'`,
  );
  await expect.poll(() => must("readlink", [`/proc/${pid}/exe`])).toBe(crun);
  expect(await hook(pid, path)).toMatchObject({ status: 0, stderr: "" });
  expect(await inNamespace(pid, "cat", join(path, "rootfs/etc/os-release"))).toBe("ID=veneer-test");
});

it("refuses a runtime that has not mounted the root, and names the wrapping runtime", async () => {
  const path = bundle("unmounted");
  const pid = await runtimeProcess(join(path, "rootfs"), ":");
  const outcome = await hook(pid, path);
  expect(outcome.status).toBe(1);
  expect(outcome.stderr).toMatch(/has not mounted .*unmounted\/rootfs.* hint: .*veneer-runc/);
});

it("refuses a container that shares the host's mount namespace", async () => {
  const path = bundle("no-namespace");
  const pid = await runtimeProcess(join(path, "rootfs"), ":", ["--uts"]);
  const outcome = await hook(pid, path);
  expect(outcome.status).toBe(1);
  expect(outcome.stderr).toMatch(/has no mount namespace of its own; hint: add .*mount/);
});

it("refuses a process that is gone", async () => {
  const outcome = await hook(4_000_000, bundle("gone"));
  expect(outcome).toMatchObject({ status: 1 });
  expect(outcome.stderr).toMatch(/^veneer: process 4000000 of container \S+ is gone[^\n]*$/);
});

it("covers a root that is reached through symbolic links once only", async () => {
  const path = bundle("real");
  await must("ln", ["-s", "real", join(host.dir, "link")]);
  const pid = await runtimeProcess(join(path, "rootfs"), BIND);
  const link = join(host.dir, "link");
  expect(await hook(pid, link)).toMatchObject({ status: 0 });
  expect(await hook(pid, link)).toMatchObject({ status: 0 });
  const mounts = await inNamespace(pid, "grep", "-c", " - overlay veneer:", "/proc/self/mountinfo");
  expect(mounts).toBe("1");
});

it("goes on when the base has what the runtime made in the root already", async () => {
  const path = bundle("again");
  const volume = join(host.dir, "volume");
  mkdirSync(volume);
  writeFileSync(join(volume, "file"), "volume\n");
  const root = join(path, "rootfs");
  const pid = await runtimeProcess(root, `${BIND}; mkdir "$1/etc"; mount --bind ${volume} "$1/etc"`);
  expect(await hook(pid, path)).toMatchObject({ status: 0 });
  expect(await inNamespace(pid, "ls", join(root, "etc"))).toBe("file");
});
