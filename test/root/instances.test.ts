import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { inject, killAt } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const tree = join(host.dir, "tree of 'the' base:,\\ ü");

beforeAll(() => {
  makeTree(tree);
  chownSync(join(tree, "root"), 7, 8);
  mkdirSync(join(tree, "var/cache"), { mode: 0o750 });
  chmodSync(join(tree, "var/cache"), 0o2755);
  chownSync(join(tree, "var/cache"), 5, 6);
  writeFileSync(join(tree, "var/cache/old"), "");
  mkdirSync(join(tree, "etc/ssh"));
  for (const name of ["ssh_host_rsa_key", "ssh_host_ed25519_key", "sshd_config"]) {
    writeFileSync(join(tree, "etc/ssh", name), name);
  }
  writeFileSync(join(tree, "etc/machine-id"), "0123\n");
  plantBase(host, "small", tree);
});
afterEach(async () => {
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) {
    await host.veneer("umount", id);
    await host.ok("rm", id);
  }
  expect(readdirSync(join(host.root, "instances"))).toEqual([]);
  if (existsSync(join(host.run, "records"))) expect(readdirSync(join(host.run, "records"))).toEqual([]);
});
afterAll(() => host.remove());

/** How many mounts lie on a directory. */
async function mountsOn(directory: string): Promise<number> {
  const { stdout } = await sh("findmnt", ["-rno", "TARGET"]);
  return stdout.split("\n").filter((target) => target === directory).length;
}

describe("create", () => {
  it("prints the id and makes an instance of the current version", async () => {
    expect(await host.ok("create", "web1", "small")).toBe("web1");
    const [row] = JSON.parse(await host.ok("ls", "--json"));
    expect(row).toMatchObject({ id: "web1", base: "small", version: 1, state: "stopped", generation: 1 });
    expect(await host.ok("ls")).toMatch(/^web1 +small@1 +0 +stopped +[0-9.]+ (B|KiB) +20/m);
  });

  it("refuses a name that is taken, and leaves the instance as it is", async () => {
    await host.ok("create", "web1", "small");
    const before = readFileSync(join(host.root, "instances/web1/instance.json"), "utf8");
    const { status, stderr } = await host.veneer("create", "web1", "small");
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/^veneer: instance web1 exists already; hint: /),
    ]);
    expect(readFileSync(join(host.root, "instances/web1/instance.json"), "utf8")).toBe(before);
    expect(readdirSync(join(host.root, "staging"))).toEqual([]);
  });

  it.each([
    [["../x", "small"], 2, "instance name '../x' is not valid"],
    [["a\nb", "small"], 2, "instance name 'a\\x0ab' is not valid"],
    [["x".repeat(4096), "small"], 2, "is not valid"],
    [["web1", "small@0"], 2, "names no version"],
    [["web1", "none"], 1, "no base none in"],
    [["web1", "small@7"], 1, "no base small@7 in"],
    [["web1", "small", "--opaque", "tmp"], 2, "opaque path 'tmp' is not a path inside the container"],
    [["web1", "small", "--mask", "/../etc"], 2, "masked path '/../etc' is not a path"],
    [["web1", "small", "--tmpfs", "much"], 2, "size 'much' is not valid"],
    [["web1"], 2, "needs BASE"],
  ])("refuses %j", async (words, wanted, message) => {
    const { status, stderr } = await host.veneer("create", ...words);
    expect(status).toBe(wanted);
    expect(stderr).toContain(message);
    expect(stderr.split("\n")).toHaveLength(1);
    expect(await host.ok("ls", "--json")).toBe("[]");
  });

  it("lets one of two win that make the same name at once", async () => {
    const outcomes = await Promise.all([1, 2, 3].map(() => host.veneer("create", "web1", "small")));
    expect(outcomes.map(({ status }) => status).sort()).toEqual([0, 1, 1]);
  });

  it("leaves nothing but the whole instance or none when it is killed", async () => {
    for (let when = 1; when <= 12; when++) {
      const program = join(host.bin, "veneer");
      const killed = killAt({ call: "mkdirat,mknodat,renameat2,fsync", when });
      await sh("strace", [...killed, program, "create", "web1", "small"]);
      const rows = JSON.parse(await host.ok("ls", "--json"));
      expect(rows.every((row: { state: string }) => row.state === "stopped")).toBe(true);
      const again = await host.veneer("create", "web1", "small");
      expect(again.status).toBe(rows.length);
      expect(await host.ok("mount", "web1")).toBe(join(host.run, "mnt/web1"));
      await host.ok("umount", "web1");
      await host.ok("rm", "web1");
    }
  });
});

describe("a mounted instance", () => {
  it("shows the base, with empty /tmp and /root that have the base's mode and owner", async () => {
    await host.ok("create", "web1", "small");
    const root = await host.ok("mount", "web1");
    expect(root).toBe(join(host.run, "mnt/web1"));
    expect(readFileSync(join(root, "etc/os-release"), "utf8")).toBe("ID=veneer-test\n");
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
    expect(readdirSync(join(root, "root"))).toEqual([]);
    expect(statSync(join(root, "tmp")).mode & 0o7777).toBe(0o1777);
    expect(statSync(join(root, "root"))).toMatchObject({ uid: 7, gid: 8 });
    expect(statSync(join(root, "root")).mode & 0o7777).toBe(0o700);
  });

  it("starts other directories empty with --opaque, and none with 'none'", async () => {
    await host.ok("create", "web1", "small", "--opaque", "/var/cache", "--opaque", "/srv/new");
    const root = await host.ok("mount", "web1");
    expect(readdirSync(join(root, "var/cache"))).toEqual([]);
    expect(statSync(join(root, "var/cache"))).toMatchObject({ uid: 5, gid: 6 });
    expect(statSync(join(root, "var/cache")).mode & 0o7777).toBe(0o2755);
    expect(statSync(join(root, "srv/new")).mode & 0o7777).toBe(0o755);
    expect(readdirSync(join(root, "tmp"))).toEqual(["of-the-base"]);
    await host.ok("create", "web2", "small", "--opaque", "none");
    expect(readdirSync(join(await host.ok("mount", "web2"), "root"))).toEqual(["of-the-base"]);
  });

  it("hides what --mask names, by pattern too", async () => {
    await host.ok("create", "web1", "small", "--mask", "/etc/ssh/ssh_host_*", "--mask", "/etc/machine-id");
    const root = await host.ok("mount", "web1");
    expect(readdirSync(join(root, "etc/ssh"))).toEqual(["sshd_config"]);
    expect(existsSync(join(root, "etc/machine-id"))).toBe(false);
    writeFileSync(join(root, "etc/machine-id"), "own\n");
    expect(readFileSync(join(tree, "etc/machine-id"), "utf8")).toBe("0123\n");
  });

  it("keeps its writes over umount and mount, at another place too", async () => {
    await host.ok("create", "web1", "small");
    writeFileSync(join(await host.ok("mount", "web1"), "etc/own"), "mine");
    expect(await host.ok("umount", "web1")).toBe("");
    expect(existsSync(join(host.run, "mnt/web1"))).toBe(false);
    const place = join(host.dir, "a place:, \\ 'ü'");
    mkdirSync(place, { recursive: true });
    expect(await host.ok("mount", "web1", place)).toBe(place);
    expect(readFileSync(join(place, "etc/own"), "utf8")).toBe("mine");
    expect(existsSync(join(tree, "etc/own"))).toBe(false);
    await host.ok("umount", "web1");
    expect(readdirSync(place)).toEqual([]);
  });

  it("is mounted on a directory that is not there, which is made, but not those above it", async () => {
    await host.ok("create", "web1", "small");
    const place = join(host.dir, "new");
    expect(await host.veneer("mount", "web1", join(place, "deep"))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`hint: mkdir -p '${place}/deep'`),
    });
    expect(existsSync(place)).toBe(false);
    expect(await host.ok("mount", "web1", place)).toBe(place);
    expect(readdirSync(join(place, "etc"))).toContain("ssh");
    await host.ok("umount", "web1");
  });

  it("is nosuid and nodev, unless --suid is given", async () => {
    const options = async (root: string) => (await must("findmnt", ["-no", "VFS-OPTIONS", root])).split(",");
    await host.ok("create", "web1", "small");
    expect(await options(await host.ok("mount", "web1"))).toEqual(
      expect.arrayContaining(["nosuid", "nodev"]),
    );
    await host.ok("umount", "web1");
    expect(await options(await host.ok("mount", "web1", "--suid"))).not.toContain("nosuid");
  });

  it("stays as it is where it is mounted again, and is refused elsewhere and to rm, which name where it is", async () => {
    await host.ok("create", "web1", "small");
    const root = await host.ok("mount", "web1");
    expect(await host.ok("mount", "web1")).toBe(root);
    expect(await mountsOn(root)).toBe(1);
    for (const words of [
      ["mount", "web1", host.dir],
      ["mount", "web1", "--suid"],
      ["rm", "web1"],
    ]) {
      const { status, stderr } = await host.veneer(...words);
      expect([status, stderr]).toEqual([1, expect.stringContaining(`instance web1 is mounted on ${root}`)]);
    }
    expect(JSON.parse(await host.ok("ls", "--json"))[0].state).toBe("mounted");
    const [row] = JSON.parse(await host.ok("ps", "--json"));
    expect(row).toMatchObject({ engine: "mount", instance: "web1", base: "small", version: 1, target: root });
  });

  it("is refused under another --run too, where no record tells of it", async () => {
    await host.ok("create", "web1", "small");
    await host.ok("mount", "web1");
    const { status, stderr } = await host.veneer("--run", join(host.dir, "run2"), "mount", "web1");
    expect(status).toBe(1);
    expect(stderr).toMatch(/instance web1 is mounted, but veneer has no record of it; hint: /);
    expect(existsSync(join(host.dir, "run2/mnt/web1"))).toBe(false);
  });

  it("is not unmounted while a process works in it", async () => {
    await host.ok("create", "web1", "small");
    const root = await host.ok("mount", "web1");
    const outcome = await sh(join(host.bin, "veneer"), ["umount", "web1"], { cwd: root });
    expect([outcome.status, outcome.stderr]).toEqual([
      1,
      expect.stringContaining("instance web1 is in use: EBUSY"),
    ]);
    expect((await host.veneer("umount", "web1")).status).toBe(0);
    const twice = await host.veneer("umount", "web1");
    expect([twice.status, twice.stderr]).toEqual([1, expect.stringContaining("web1 is not mounted")]);
  });

  it("can be mounted again after umount(8) by hand", async () => {
    await host.ok("create", "web1", "small");
    await must("umount", [await host.ok("mount", "web1")]);
    expect(JSON.parse(await host.ok("ls", "--json"))[0].state).toBe("stopped");
    await host.ok("mount", "web1");
  });

  it("is mounted once by several mounts at once", async () => {
    await host.ok("create", "web1", "small");
    const outcomes = await Promise.all([1, 2, 3].map(() => host.veneer("mount", "web1")));
    const root = join(host.run, "mnt/web1");
    for (const { status, stdout, stderr } of outcomes) {
      if (status === 0) expect(stdout.trim()).toBe(root);
      else expect(stderr).toContain("instance web1 is ");
    }
    expect(outcomes.map(({ status }) => status)).toContain(0);
    expect(await mountsOn(root)).toBe(1);
  });

  it("of a damaged or missing upper fails in one line and leaves nothing", async () => {
    await host.ok("create", "web1", "small");
    await must("rm", ["-r", join(host.root, "instances/web1/1/upper")]);
    const { status, stderr } = await host.veneer("mount", "web1");
    expect([status, stderr.split("\n").length]).toEqual([1, 1]);
    expect(stderr).toContain("ENOENT");
    expect(existsSync(join(host.run, "mnt/web1"))).toBe(false);
  });

  it("mounts after a kill at any of its steps", async () => {
    await host.ok("create", "web1", "small");
    for (const call of ["renameat2", "symlinkat", "fsmount", "move_mount"]) {
      for (const when of [1, 2]) {
        await sh("strace", [...killAt({ call, when }), join(host.bin, "veneer"), "mount", "web1"]);
        await host.veneer("umount", "web1");
        await host.ok("mount", "web1");
        await host.ok("umount", "web1");
        expect(readdirSync(join(host.run, "held"))).toEqual([]);
      }
    }
    expect((await must("findmnt", ["-rno", "TARGET"])).includes(host.dir)).toBe(false);
    // a record that was killed before it had its name
    await must("find", [join(host.run, "records"), "-name", "*.json.*", "-delete"]);
  });
});

describe("an instance in memory", () => {
  it("starts anew at each mount and holds no more than its size", async () => {
    await host.ok("create", "web1", "small", "--tmpfs", "2m");
    const root = await host.ok("mount", "web1");
    writeFileSync(join(root, "etc/own"), "mine");
    expect(() => writeFileSync(join(root, "big"), new Uint8Array(4 << 20))).toThrow("ENOSPC");
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
    expect((await host.veneer("mount", "web1", host.dir)).status).toBe(1);
    await host.ok("umount", "web1");
    expect(existsSync(join(await host.ok("mount", "web1"), "etc/own"))).toBe(false);
  });

  it("is unmounted where overlays have no file handles, as before Linux 6.6", async () => {
    await host.ok("create", "web1", "small", "--tmpfs", "2m");
    const words = [...inject("name_to_handle_at", "error=EINVAL"), join(host.bin, "veneer")];
    const root = (await must("strace", [...words, "mount", "web1"])).trim();
    expect(readdirSync(root)).toContain("etc");
    await must("strace", [...words, "umount", "web1"]);
    expect((await must("findmnt", ["-rno", "TARGET"])).includes(root)).toBe(false);
    expect(await host.veneer("umount", "web1")).toMatchObject({ status: 1 });
  });
});

describe("rm", () => {
  it("removes several, and says which is not there", async () => {
    await host.ok("create", "web1", "small");
    await host.ok("create", "web2", "small");
    await host.ok("rm", "web1", "web2");
    expect(await host.ok("ls", "--json")).toBe("[]");
    expect(readdirSync(join(host.root, "trash"))).toEqual([]);
    const { status, stderr } = await host.veneer("rm", "web1");
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^veneer: no instance web1 in .*; hint: /)]);
  });

  it("frees the name at once, and a large upper in the background", async () => {
    await host.ok("create", "web1", "small");
    const upper = join(host.root, "instances/web1/1/upper");
    await must("sh", ["-c", 'mkdir "$1/d" && cd "$1/d" && seq 3000 | xargs touch', "sh", upper]);
    await host.ok("rm", "web1");
    await host.ok("create", "web1", "small");
    await expect.poll(() => readdirSync(join(host.root, "trash"))).toEqual([]);
  });

  it("removes an instance whose definition is damaged, which ls shows as such", async () => {
    await host.ok("create", "web1", "small");
    await host.ok("create", "web2", "small");
    writeFileSync(join(host.root, "instances/web1/instance.json"), '{"base":');
    const { stdout, stderr } = await host.veneer("ls", "--json");
    expect(JSON.parse(stdout).map((row: { state: string }) => row.state)).toEqual(["damaged", "stopped"]);
    expect(stderr).toContain("instances/web1/instance.json is not JSON");
    await host.ok("rm", "web1");
  });
});

describe("mount --all", () => {
  it("brings back what was mounted and not unmounted", async () => {
    const place = join(host.dir, "place");
    mkdirSync(place, { recursive: true });
    for (const id of ["web1", "web2", "web3", "web4"]) await host.ok("create", id, "small");
    const first = await host.ok("mount", "web1");
    await host.ok("mount", "web2", place, "--suid");
    await host.ok("mount", "web3");
    await host.ok("umount", "web3");
    expect(await host.ok("mount", "--all")).toBe("");
    await must("umount", [first, place]);
    await must("rm", ["-r", host.run]);
    expect((await host.ok("mount", "--all")).split("\n")).toEqual([first, place]);
    expect(await must("findmnt", ["-no", "VFS-OPTIONS", place])).not.toContain("nosuid");
    await must("umount", [first, place]);
    await host.ok("umount", "web1");
    expect(await host.ok("mount", "--all")).toBe(place);
  });

  it("goes on after one that fails, and fails", async () => {
    const place = join(host.dir, "gone");
    mkdirSync(place);
    await host.ok("create", "web1", "small");
    await host.ok("create", "web2", "small");
    await host.ok("mount", "web1", place);
    await must("umount", [place, await host.ok("mount", "web2")]);
    await must("rmdir", [place]);
    writeFileSync(place, "");
    const { status, stdout, stderr } = await host.veneer("mount", "--all");
    expect([status, stdout]).toEqual([1, join(host.run, "mnt/web2")]);
    expect(stderr).toContain(`ENOTDIR: Not a directory, open '${place}'`);
  });
});

describe("inspect", () => {
  it("tells where everything is and who holds it", async () => {
    await host.ok("create", "web1", "small", "--mask", "/etc/machine-id");
    const root = await host.ok("mount", "web1");
    const all = JSON.parse(await host.ok("inspect", "web1", "--json"));
    expect(all).toMatchObject({
      id: "web1",
      state: "mounted",
      base: "small",
      version: 1,
      opaque: ["/tmp", "/root"],
      mask: ["/etc/machine-id"],
      upper: join(host.root, "instances/web1/1/upper"),
      layers: [tree],
      mounted: { target: root },
      generations: [{ generation: 1, base: "small", version: 1 }],
      holder: { engine: "mount", target: root, source: "veneer:web1" },
    });
    expect(lstatSync(all.upper).isDirectory()).toBe(true);
    expect(await host.ok("inspect", "web1")).toContain("\nholder:\n  engine: mount\n");
  });

  it("knows no other", async () => {
    const { status, stderr } = await host.veneer("inspect", "nobody");
    expect([status, stderr]).toEqual([1, expect.stringContaining("no instance nobody in")]);
  });
});
