import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { makeBundle, nextId } from "../helpers/bundle.ts";
import { makeHost, must, PROJECT, sh } from "../helpers/host.ts";
import { storeArguments } from "../helpers/wrapper.ts";

// dpkg installs into a copy of this very system: an instance on / in place, thrown away afterwards
const host = makeHost();
const version = "0.1.0";
const deb = join(PROJECT, `dist/packages/veneer_${version}_amd64.deb`);
let root = "";

beforeAll(async () => {
  await must("bash", [join(PROJECT, "packaging/package.sh"), "--no-build", "amd64"], { cwd: PROJECT });
  await host.ok("base", "import", "system", "/", "--in-place", "--force");
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

/** Installs the same as another version. */
const upgrade = (number: string) =>
  inside(
    `rm -rf /new && dpkg-deb -R /veneer.deb /new && sed -i 's/^Version: .*/Version: ${number}/' /new/DEBIAN/control &&
     dpkg-deb -Znone -b /new /new.deb && dpkg -i --force-depends /new.deb && rm -rf /new /new.deb`,
  );
const wants = (unit: string) =>
  inside(`find /etc/systemd/system -path '*.wants/${unit}' -printf '%f\n'`).then(({ stdout }) => stdout);

it("is upgraded with what it holds, and with the units as the administrator has them", async () => {
  expect(await wants("veneer-gc.timer")).toBe("veneer-gc.timer");
  expect(await wants("veneer-mount.service")).toBe("veneer-mount.service");
  await inside("mkdir -p /var/lib/veneer/bases/kept /etc/veneer && echo '{}' >/etc/veneer/config.json");
  expect(await inside("rm /etc/systemd/system/*.wants/veneer-mount.service")).toMatchObject({ status: 0 });
  expect(await upgrade(`${version}-2`)).toMatchObject({ status: 0 });
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own
  expect((await inside("dpkg-query -W -f '${Version} ${Status}' veneer")).stdout).toBe(
    `${version}-2 install ok installed`,
  );
  expect(await wants("veneer-gc.timer")).toBe("veneer-gc.timer");
  expect(await wants("veneer-mount.service")).toBe("");
  expect((await inside("cat /etc/veneer/config.json; ls /var/lib/veneer/bases")).stdout).toMatch(
    /^\{\}\n(.*\n)*kept/,
  );
  expect((await inside("veneer --version")).stdout).toBe(`veneer ${version}`);
});

it("says at its removal which engine still calls it, and comes back", async () => {
  await inside("mkdir -p /var/lib/veneer/setup && echo '{\"files\":[]}' >/var/lib/veneer/setup/docker.json");
  const removed = await inside("dpkg --remove veneer");
  expect(removed.status).toBe(0);
  expect(removed.stderr).toContain("veneer: docker still calls veneer; hint: ");
  expect((await inside("ls -d /usr/bin/veneer* /usr/lib/veneer")).stdout).toBe("");
  expect(await inside("dpkg -i --force-depends /veneer.deb")).toMatchObject({ status: 0 });
  expect(await wants("veneer-gc.timer")).toBe("veneer-gc.timer");
  await inside("rm -r /var/lib/veneer/setup");
});

it("goes without a trace but for what users made", async () => {
  const outcome = await inside("rm -r /etc/veneer; dpkg --purge veneer");
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

describe("the npm package", () => {
  const own = makeHost();
  afterAll(() => own.remove());
  const prefix = join(own.dir, "npm prefix");
  const npm = (...args: string[]) =>
    sh("npm", [...args, "--global", "--prefix", prefix, "--offline", "--no-audit", "--no-fund"], {
      env: { npm_config_cache: join(own.dir, "npm-cache"), npm_config_loglevel: "error" },
    });
  const files = () => sh("find", [prefix, "-not", "-type", "d"]).then(({ stdout }) => stdout);

  it("installs, and its commands run: the program, and the wrapping runtime beside it on a base", async () => {
    await must("bash", [join(PROJECT, "packaging/package.sh"), "--no-build", "npm"], { cwd: PROJECT });
    const file = join(PROJECT, `dist/packages/veneer-linux-x64-${version}.tgz`);
    expect(await npm("install", file)).toMatchObject({ status: 0 });
    const program = join(prefix, "bin/veneer");
    expect(await sh(program, ["--version"])).toMatchObject({ status: 0, stdout: `veneer ${version}` });
    expect((await sh("cmp", [program, join(PROJECT, "dist/veneer")])).status).toBe(0);
    for (const name of ["runc", "crun"]) {
      const { stdout } = await sh(join(prefix, `bin/veneer-${name}`), ["--version"]);
      expect(stdout).toMatch(new RegExp(`^${name} version`));
    }
    makeBase(own, "b");
    const bundle = makeBundle(join(own.dir, "bundle"), "cat /etc/os-release", (config) => {
      config.annotations["run.veneer.base"] = "b";
    });
    const words = [...storeArguments(own), "run", "-b", bundle, nextId()];
    const outcome = await sh(join(prefix, "bin/veneer-runc"), words, { env: { PATH: own.path } });
    expect(outcome).toEqual({ status: 0, stdout: "ID=veneer-test", stderr: "" });
    await expect.poll(() => leftovers(own)).toEqual([]);
  });

  it("is installed again over itself, and leaves no file when it goes", async () => {
    const file = join(PROJECT, `dist/packages/veneer-linux-x64-${version}.tgz`);
    expect(await npm("install", file)).toMatchObject({ status: 0 });
    expect(await files()).toContain("/bin/veneer-runc");
    expect(await npm("uninstall", "veneer-linux-x64")).toMatchObject({ status: 0 });
    expect(await files()).toBe("");
  });
});
