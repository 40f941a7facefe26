/** Root mounts an instance below a directory of a user, who makes links of the mount point and of what is above it. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { compileFixture, makeHost, must, sh } from "../helpers/host.ts";
import { plantVersions } from "../helpers/live.ts";

const host = makeHost("/srv");
const UID = 47995;
const home = join(host.dir, "home");
/** where nothing may be mounted, and what may not be unmounted */
const system = join(host.dir, "system");
const program = join(host.dir, "exchange");
const attackers: (() => void)[] = [];

beforeAll(async () => {
  plantVersions(host);
  await host.ok("create", "web", "b@1");
  chmodSync(host.dir, 0o755);
  for (const directory of [home, system, join(system, "m")]) mkdirSync(directory);
  await compileFixture("exchange", program);
  for (const name of ["mine0", "above0"]) mkdirSync(join(home, name));
  mkdirSync(join(home, "above0/m"));
  symlinkSync(system, join(home, "link0"));
  await must("chown", ["-hR", `${UID}:${UID}`, home]);
});
afterEach(async () => {
  for (const end of attackers.splice(0)) end();
  await clear();
  for (const name of ["mine0", "above0"]) {
    if (!lstatSync(join(home, name)).isSymbolicLink()) continue;
    renameSync(join(home, name), join(home, "kept"));
    renameSync(join(home, "link0"), join(home, name));
    renameSync(join(home, "kept"), join(home, "link0"));
  }
});
afterAll(() => host.remove());

async function exchange(one: string, other: string): Promise<void> {
  const ids = ["--reuid", String(UID), "--regid", String(UID), "--clear-groups"];
  const child = spawn("setpriv", [...ids, "--", program, home, one, other, "1"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  attackers.push(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
}

/** Its owner renames what is above a mount, and its mount point in the moment before: then only root finds it. */
async function clear(): Promise<void> {
  for (let left = 20; left > 0 && mountedBelow(home).length > 0; left--) await host.veneer("umount", "web");
  for (const target of mountedBelow(home)) await sh("umount", ["-l", target]);
  await host.veneer("umount", "web");
}

const mountedBelow = (directory: string) =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((target) => target === directory || target.startsWith(`${directory}/`));

it("a link of the user's is not followed, and one of root's is", async () => {
  const refused = await host.veneer("mount", "web", join(home, "link0"));
  expect(refused).toMatchObject({ status: 1, stdout: "" });
  expect(refused.stderr).toMatch(
    new RegExp(`is a symbolic link that uid ${UID} can change.*\\[MOUNT_POINT\\]$`),
  );
  expect((await host.veneer("mount", "web", join(home, "link0/m"))).stderr).toMatch(/MOUNT_POINT/);
  expect(mountedBelow(system)).toEqual([]);
  symlinkSync("system", join(host.dir, "of-root"));
  expect(await host.ok("mount", "web", join(host.dir, "of-root/m"))).toBe(join(system, "m"));
  await host.ok("umount", "web");
});

it("a directory of the user's is used, and its name may be given in any way", async () => {
  expect(await host.ok("mount", "web", `${home}/../home/./mine0/`)).toBe(join(home, "mine0"));
  expect(mountedBelow(home)).toEqual([join(home, "mine0")]);
  await host.ok("umount", "web", join(home, "mine0"));
});

it.each([
  ["the mount point", "mine", "mine0"],
  ["a directory above it", "above", "above0/m"],
])("%s is exchanged for a link meanwhile", async (_, name, path) => {
  await exchange(name, "link");
  let mounted = 0;
  // on an idle machine few of them get between two exchanges
  for (let round = 0; round < 40 || (mounted === 0 && round < 4000); round++) {
    const { status, stdout } = await host.veneer("mount", "web", join(home, path));
    expect(mountedBelow(system)).toEqual([]);
    if (status !== 0) continue;
    mounted++;
    expect(stdout).toBe(join(home, path));
    await clear();
  }
  expect(mounted).toBeGreaterThan(0);
});

it("umount and mount --all do not follow what has become a link", async () => {
  await host.ok("mount", "web", join(home, "above0/m"));
  await must("mount", ["-t", "tmpfs", "of-root", join(system, "m")]);
  renameSync(join(home, "above0"), join(home, "gone"));
  symlinkSync(system, join(home, "above0"));
  expect((await host.veneer("umount", "web")).status).toBe(1);
  expect(mountedBelow(system)).toEqual([join(system, "m")]);
  await must("umount", [join(system, "m")]);
  rmSync(join(home, "above0"));
  renameSync(join(home, "gone"), join(home, "above0"));
  // as after a reboot: the mount is gone, and veneer mounts it again
  await must("umount", [join(home, "above0/m")]);
  renameSync(join(home, "above0"), join(home, "gone"));
  symlinkSync(system, join(home, "above0"));
  chownSync(join(home, "gone"), UID, UID);
  const again = await host.veneer("mount", "--all");
  expect(again).toMatchObject({ status: 1, stderr: expect.stringContaining("MOUNT_POINT") });
  expect(mountedBelow(system)).toEqual([]);
  expect(existsSync(join(system, "m/bin"))).toBe(false);
  rmSync(join(home, "above0"));
  renameSync(join(home, "gone"), join(home, "above0"));
  await host.ok("mount", "--all");
  expect(mountedBelow(home)).toEqual([join(home, "above0/m")]);
});
