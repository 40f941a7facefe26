/** `veneer setup nspawn`: the files, and instances that live as long as their mount. Machines: test/e2e/systemd.test.ts. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const own = process.env.VENEER_TEST_NAMESPACE === "private";
const host = makeHost();
const etc = join(host.dir, "etc");
const MACHINES = "/var/lib/machines";
const dropIn = (name: string) => join(etc, `systemd/system/systemd-nspawn@${name}.service.d/veneer.conf`);
const settings = (name: string) => join(etc, `systemd/nspawn/${name}.nspawn`);
const setup = (name: string, ...options: string[]) =>
  host.veneer("setup", "nspawn", name, "--etc", etc, ...options);
const unsetup = (name: string) => host.ok("unsetup", "nspawn", name, "--etc", etc);
const ids = async () => JSON.parse(await host.ok("ls", "--json")).map(({ id }: { id: string }) => id);

beforeAll(async () => {
  mkdirSync(MACHINES, { recursive: true, mode: 0o700 });
  if (own) await must("mount", ["-t", "tmpfs", "tmpfs", MACHINES]);
  await host.ok("base", "import", "b", makeTree(join(host.dir, "tree")));
});
afterAll(async () => {
  if (own) await must("umount", [MACHINES]);
  await host.remove();
});

describe.runIf(own)("setup nspawn", () => {
  afterEach(async () => {
    for (const id of await ids()) await host.ok("rm", id);
  });

  it("writes a drop-in and settings, twice the same, and takes all of it back", async () => {
    expect(await setup("web1", "--base", "b")).toMatchObject({
      status: 0,
      stdout: `${dropIn("web1")}\n${settings("web1")}`,
      stderr: expect.stringContaining("machinectl start web1"),
    });
    const text = readFileSync(dropIn("web1"), "utf8");
    expect(text).toMatch(
      / mount machine\.web1 \/var\/lib\/machines\/web1 --suid --dev --fresh b\nExecStopPost=-.* umount machine\.web1 /,
    );
    expect(text).toContain(`RequiresMountsFor=${host.root}\n`);
    expect(await setup("web1", "--base", "b")).toMatchObject({ status: 0, stdout: "" });
    await unsetup("web1");
    expect([existsSync(dropIn("web1")), existsSync(settings("web1")), readdirSync(MACHINES)]).toEqual([
      false,
      false,
      [],
    ]);
  });

  it("runs the lines of the unit: a fresh root each time, nothing of it left after", async () => {
    await setup("web1", "--base", "b", "--mask", "/etc/os-release");
    const lines = readFileSync(dropIn("web1"), "utf8").matchAll(/^Exec\w+=-?(.*)$/gm);
    const [start = "", stop = ""] = [...lines].map(([, line]) => line);
    for (const _ of [1, 2]) {
      await must("sh", ["-c", start]);
      expect(existsSync(join(MACHINES, "web1/etc/os-release"))).toBe(false);
      expect(existsSync(join(MACHINES, "web1/own"))).toBe(false);
      writeFileSync(join(MACHINES, "web1/own"), "");
      expect(await ids()).toEqual(["machine.web1"]);
      await must("sh", ["-c", stop]);
      expect([readdirSync(join(MACHINES, "web1")), await ids()]).toEqual([[], []]);
    }
    await unsetup("web1");
  });

  it("adds to settings that are there, and refuses a user namespace of nspawn's choice", async () => {
    mkdirSync(join(etc, "systemd/nspawn"), { recursive: true });
    const before = "[Network]\nVirtualEthernet=no\n";
    writeFileSync(settings("web2"), before);
    await setup("web2", "--base", "b", "--persistent");
    expect(readFileSync(settings("web2"), "utf8")).toMatch(
      /^\[Network\]\n.*\n#.*\n\[Exec\]\nPrivateUsers=no\n$/,
    );
    expect(readFileSync(dropIn("web2"), "utf8")).toContain(
      "mount web2 /var/lib/machines/web2 --suid --dev\n",
    );
    await unsetup("web2");
    expect(readFileSync(settings("web2"), "utf8")).toBe(before);
    writeFileSync(settings("web2"), "[Exec]\nPrivateUsers=pick\n");
    expect(await setup("web2", "--base", "b")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("PrivateUsers=pick"),
    });
    expect(existsSync(dropIn("web2"))).toBe(false);
  });

  it("refuses what it cannot give a root, and changes nothing", async () => {
    mkdirSync(join(MACHINES, "full/etc"), { recursive: true });
    expect(await setup("full", "--base", "b")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("has files of its own"),
    });
    expect(await setup("bad_name", "--base", "b")).toMatchObject({ status: 2 });
    expect(await setup("web3", "--base", "none")).toMatchObject({ status: 1 });
    expect(await setup("web3")).toMatchObject({ status: 2, stderr: expect.stringContaining("add --base") });
    expect(await setup("web3", "--base", "b", "--hookless")).toMatchObject({ status: 2 });
    expect([existsSync(dropIn("web3")), existsSync(dropIn("full")), await ids()]).toEqual([false, false, []]);
    await must("rm", ["-r", join(MACHINES, "full")]);
  });
});

describe("mount --fresh", () => {
  it("makes an instance for a mount, which goes with it", async () => {
    const root = await host.ok("mount", "try", "--fresh", "b", "--tmpfs", "4m");
    writeFileSync(join(root, "own"), "");
    expect(await host.veneer("mount", "try", "--fresh", "b")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("[HELD]"),
    });
    expect(existsSync(join(root, "own"))).toBe(true);
    await host.ok("umount", "try");
    expect(await ids()).toEqual([]);
  });

  it("makes anew what a crash left, and leaves an instance that keeps its writes alone", async () => {
    const root = await host.ok("mount", "try", "--fresh", "b");
    writeFileSync(join(root, "own"), "");
    await must("umount", [root]);
    expect(existsSync(join(await host.ok("mount", "try", "--fresh", "b"), "own"))).toBe(false);
    await host.ok("umount", "try");
    await host.ok("create", "kept", "b");
    expect(await host.veneer("mount", "kept", "--fresh", "b")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("[EXISTS]"),
    });
    expect(await host.veneer("mount", "kept", "--opaque", "/x")).toMatchObject({ status: 2 });
    await host.ok("rm", "kept");
    expect(await host.veneer("mount", "try", "/nowhere/at/all", "--fresh", "b")).toMatchObject({ status: 1 });
    expect(await ids()).toEqual([]);
  });

  it("is not brought back by --all, and its clone is one that stays", async () => {
    const root = await host.ok("mount", "try", "--fresh", "b");
    await must("umount", [root]);
    expect(await host.ok("mount", "--all")).toBe("");
    await host.ok("clone", "try", "copy");
    await host.ok("umount", "try");
    await host.ok("mount", "copy");
    await host.ok("umount", "copy");
    expect(await ids()).toEqual(["copy"]);
    await host.ok("rm", "copy");
  });
});

describe("mount", () => {
  it("takes set-user-ID bits and devices apart, and twice the same is once", async () => {
    await host.ok("create", "web1", "b");
    const options = async (...words: string[]) => {
      const root = await host.ok("mount", "web1", ...words);
      expect(await host.ok("mount", "web1", ...words)).toBe(root);
      const found = (await must("findmnt", ["-rno", "VFS-OPTIONS", root])).split(",");
      await host.ok("umount", "web1");
      return ["nosuid", "nodev"].filter((option) => found.includes(option));
    };
    expect(await options()).toEqual(["nosuid", "nodev"]);
    expect(await options("--suid")).toEqual(["nodev"]);
    expect(await options("--dev")).toEqual(["nosuid"]);
    expect(await options("--suid", "--dev")).toEqual([]);
    await host.ok("mount", "web1");
    expect(await host.veneer("mount", "web1", "--dev")).toMatchObject({ status: 1 });
    expect(await host.veneer("umount", "web1", "/mnt")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("[NOT_MOUNTED]"),
    });
    await host.ok("umount", "web1", join(host.run, "mnt/web1"));
    await host.ok("rm", "web1");
  });
});
