import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeHost, must, PROJECT, sh } from "../helpers/host.ts";

// dpkg installs into a copy of this very system: an instance on / in place, thrown away afterwards
const host = makeHost();
const version = "0.1.0";
const deb = join(PROJECT, `dist/packages/veneer_${version}_amd64.deb`);
let root = "";

beforeAll(async () => {
  await must("bash", [join(PROJECT, "packaging/package.sh"), "--no-build", "amd64"], { cwd: PROJECT });
  await host.ok("base", "import", "system", "/", "--in-place");
  await host.ok("create", "t", "system", "--opaque", "/run");
  root = (await host.ok("mount", "t")).trim();
  await must("cp", [deb, join(root, "veneer.deb")]);
}, 300_000);
afterAll(() => host.remove());

/** Runs a command in the copy, with /proc and /dev. */
const inside = (command: string) =>
  sh("unshare", [
    "-m",
    "sh",
    "-c",
    'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" sh -c "$2"',
    "sh",
    root,
    command,
  ]);

it("installs, with manual pages and units", async () => {
  const outcome = await inside("dpkg -i --force-depends /veneer.deb");
  expect(outcome).toMatchObject({ status: 0 });
  for (const path of [
    "usr/bin/veneer",
    "usr/lib/veneer/veneer-release",
    "usr/lib/systemd/system/veneer-gc.timer",
    "usr/share/man/man1/veneer-base-import.1.gz",
    "usr/share/veneer/oci/hooks.d/veneer.json",
    "usr/share/veneer/kubernetes/node.sh",
    "usr/share/veneer/kubernetes/install/kustomization.yaml",
  ]) {
    expect(existsSync(join(root, path)), path).toBe(true);
  }
  const include = readFileSync(join(root, "usr/share/veneer/lxc/veneer.conf"), "utf8");
  expect(include).toContain("lxc.hook.pre-mount = /usr/bin/veneer hook lxc");
});

it("runs: the program and the wrapping runtime beside it", async () => {
  expect((await inside("veneer --version")).stdout).toBe(`veneer ${version}`);
  expect((await inside("cd / && veneer --root /var/lib/v --run /run/v base ls --json")).stdout).toBe("[]");
  const { stdout } = await inside("veneer-runc --version");
  expect(stdout).toMatch(/^runc version/);
});

it("goes without a trace but for what users made", async () => {
  await inside("mkdir -p /var/lib/veneer/bases");
  const outcome = await inside("dpkg --purge veneer");
  expect(outcome.status).toBe(0);
  expect(outcome.stderr).toMatch(/bases and instances are left in \/var\/lib\/veneer/);
  const left = await inside(
    "find /usr /etc /lib -xdev -name '*veneer*' -not -path '*/node_modules/*' 2>/dev/null",
  );
  expect(left.stdout).toBe("");
});

it("is not stripped: a stripped program would be another", async () => {
  expect(
    (
      await sh("sh", [
        "-c",
        `dpkg-deb --fsys-tarfile ${deb} | tar -xO ./usr/lib/veneer/veneer | cmp - ${join(PROJECT, "dist/veneer")}`,
      ])
    ).status,
  ).toBe(0);
});
