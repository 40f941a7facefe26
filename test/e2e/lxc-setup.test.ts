import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { type Host, makeHost, must } from "../helpers/host.ts";
import { eventually, type Lxc, makeLxc } from "../helpers/lxc.ts";

let host: Host;
let lxc: Lxc;
let etc: string;

beforeAll(() => {
  host = makeHost();
  makeBase(host, "b");
  lxc = makeLxc(host);
  etc = join(host.dir, "etc");
  mkdirSync(join(etc, "lxc"), { recursive: true });
  writeFileSync(join(etc, "lxc/default.conf"), "lxc.net.0.type = empty\n");
});
afterAll(async () => {
  await lxc.stopAll();
  await host.remove();
});

const place = () => ["--lxcpath", lxc.path, "--etc", etc];
const setup = (...args: string[]) => host.veneer("setup", "lxc", ...args, ...place());
const unsetup = (...args: string[]) => host.veneer("unsetup", "lxc", ...args, ...place());
const configOf = (name: string) => join(lxc.path, name, "config");
const read = (path: string) => readFileSync(path, "utf8");

/** A container as somebody else left it: odd spacing, comments, a hook of its own. */
function container(name: string, ...lines: string[]): string {
  const rootfs = lxc.container(name, { only: [] });
  const text = `# made by hand\n\tlxc.net.0.type=empty  \nlxc.mount.auto = proc\n\nlxc.rootfs.path=dir:${rootfs}\n${lines.join("\n")}`;
  writeFileSync(configOf(name), text);
  chmodSync(configOf(name), 0o640);
  return text;
}

describe("setup lxc NAME", () => {
  test("makes a container that is not there, which starts on the base", async () => {
    lxc.expect("new");
    const outcome = await setup("new", "--base", "b");
    expect(outcome).toMatchObject({ status: 0, stdout: configOf("new") });
    expect(outcome.stderr).toContain(`then: lxc-start -P ${lxc.path} -n new`);
    expect(statSync(configOf("new")).mode & 0o777).toBe(0o640);
    const script = "cat /etc/os-release; ls -A /tmp; touch /etc/made";
    const run = await lxc.execute("new", "/bin/sh", "-c", script);
    expect(run).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    expect((await lxc.execute("new", "/bin/test", "-e", "/etc/made")).status).toBe(1);
    await expect.poll(() => leftovers(host)).toEqual([]);
    expect(await unsetup("new")).toMatchObject({ status: 0, stdout: configOf("new") });
    expect(existsSync(join(lxc.path, "new"))).toBe(false);
  });

  test("gives it an upper in memory, with what starts empty and what is hidden", async () => {
    lxc.expect("upper");
    const options = ["--opaque", "/etc/none", "--opaque", "/usr", "--mask", "/etc/os-*", "--tmpfs", "8M"];
    expect((await setup("upper", "--base", "b", ...options)).status).toBe(0);
    const script =
      "ls -A /usr; ls /etc/none; test -e /etc/os-release; echo $?; busybox df -k / | tail -n 1 | grep -c 8192";
    expect(await lxc.execute("upper", "/bin/sh", "-c", script)).toMatchObject({
      status: 0,
      stdout: "1\n1",
    });
    await expect.poll(() => leftovers(host)).toEqual([]);
    await unsetup("upper");
  });

  test("adapts one that is there, keeps the rest and gives it back", async () => {
    const text = container("there", "lxc.hook.pre-mount = /bin/true");
    const dry = await setup("there", "--base", "b", "--dry-run");
    expect(dry.stdout).toMatch(/^\+lxc\.hook\.pre-mount = .*hook lxc --base b$/m);
    expect(read(configOf("there"))).toBe(text);
    expect((await setup("there", "--base", "b")).status).toBe(0);
    const changed = read(configOf("there"));
    expect(changed.startsWith(`${text}\n`)).toBe(true);
    expect(await lxc.execute("there", "/bin/cat", "/etc/os-release")).toMatchObject({
      status: 0,
      stdout: "ID=veneer-test",
    });
    await expect.poll(() => leftovers(host)).toEqual([]);
    const again = await setup("there", "--base", "b");
    expect(again).toMatchObject({ status: 0, stdout: "" });
    expect(again.stderr).toContain("is set up already");
    expect(read(configOf("there"))).toBe(changed);
    expect((await unsetup("there")).status).toBe(0);
    expect(read(configOf("there"))).toBe(text);
    expect(statSync(configOf("there")).mode & 0o777).toBe(0o640);
    expect(existsSync(join(lxc.path, "there/rootfs"))).toBe(true);
    expect(await unsetup("there")).toMatchObject({ status: 0, stdout: "" });
  });

  test("leaves the files of a container's own root where they are", async () => {
    const text = container("full");
    const file = join(lxc.path, "full/rootfs/own");
    writeFileSync(file, "mine\n");
    await setup("full", "--base", "b");
    expect(read(configOf("full"))).toContain(`lxc.rootfs.path=dir:${lxc.path}/full/veneer\n`);
    const run = await lxc.execute("full", "/bin/sh", "-c", "test ! -e /own; cat /etc/os-release");
    expect(run).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    expect(read(file)).toBe("mine\n");
    await unsetup("full");
    expect(read(configOf("full"))).toBe(text);
    expect(readdirSync(join(lxc.path, "full/rootfs"))).toEqual(["own"]);
    expect(readdirSync(join(lxc.path, "full")).sort()).toEqual(["config", "rootfs"]);
  });

  test("takes only its own lines out of a file that somebody changed since", async () => {
    const text = container("changed");
    writeFileSync(join(lxc.path, "changed/rootfs/own"), "mine\n");
    await setup("changed", "--base", "b");
    writeFileSync(configOf("changed"), `${read(configOf("changed"))}lxc.arch = x86_64\n`);
    await unsetup("changed");
    expect(read(configOf("changed"))).toBe(`${text}lxc.arch = x86_64\n`);
  });

  test("keeps the writes of a persistent one, on whatever base it is later", async () => {
    container("keeps");
    await setup("keeps", "--base", "b", "--persistent");
    expect(JSON.parse(await host.ok("inspect", "keeps", "--json"))).toMatchObject({ base: "b", version: 1 });
    await lxc.execute("keeps", "/bin/sh", "-c", "echo kept >/etc/made");
    makeBase(host, "other");
    await host.ok("rebase", "keeps", "other");
    expect(await lxc.execute("keeps", "/bin/cat", "/etc/made")).toMatchObject({ status: 0, stdout: "kept" });
    container("second");
    expect((await setup("second", "--instance", "keeps")).status).toBe(0);
    expect(await lxc.execute("second", "/bin/cat", "/etc/made")).toMatchObject({ stdout: "kept" });
  });

  test("changes a set-up from one kind to another, and unsetup still knows what was first", async () => {
    const text = container("turns");
    await setup("turns", "--base", "b");
    await setup("turns", "--base", "b", "--persistent");
    expect(read(configOf("turns")).match(/hook\.pre-mount/g)).toHaveLength(1);
    await unsetup("turns");
    expect(read(configOf("turns"))).toBe(text);
  });

  test("takes a name that needs version 1 of the hooks", async () => {
    lxc.expect("a b'c");
    expect((await setup("a b'c", "--base", "b")).status).toBe(0);
    expect(read(configOf("a b'c"))).toContain("lxc.hook.version = 1\n");
    expect(await lxc.execute("a b'c", "/bin/cat", "/etc/os-release")).toMatchObject({
      stdout: "ID=veneer-test",
    });
    await unsetup("a b'c");
    expect(existsSync(join(lxc.path, "a b'c"))).toBe(false);
  });

  test.each([
    [["x", "--base", "nosuch"], "no base nosuch in "],
    [["x"], "no base is named for container 'x'; hint: add --base BASE"],
    [["x", "--persistent"], "hint: instance x does not exist yet: add --base BASE"],
    [["Upper", "--base", "b", "--persistent"], "hint: name one with --instance ID"],
    [["../x", "--base", "b"], "'../x' is not a container's name"],
    [["--base", "b"], "--base is an option of 'veneer setup lxc|nspawn|lxd|incus NAME'"],
  ])("refuses %j and writes nothing", async (args, message) => {
    const outcome = await setup(...args);
    expect(outcome.status).not.toBe(0);
    if (args[0] === "--base") {
      const alone = await host.veneer("setup", "lxc", ...args);
      expect(alone.stderr).toContain(message);
    } else expect(outcome.stderr).toContain(message);
    expect(existsSync(join(lxc.path, "x"))).toBe(false);
  });

  test.each([
    ["lxc.rootfs.options = ro,idmap=container", "remove idmap= from lxc.rootfs.options"],
    ["lxc.rootfs.path = overlay:/a:/b", "'veneer adopt unfit --base BASE' adopts its changes"],
    ["lxc.environment = VENEER_BASE=b", "names its base in lxc.environment already"],
  ])("refuses a container with %j", async (line, message) => {
    const text = container("unfit", line);
    const outcome = await setup("unfit", "--base", "b");
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain(message);
    expect(read(configOf("unfit"))).toBe(text);
  });
});

describe("setup lxc", () => {
  test("lets AppArmor's profiles of LXC pass mounts in another directory of containers", async () => {
    const other = join(host.dir, "etc-apparmor");
    const rules = join(other, "apparmor.d/abstractions/lxc/start-container");
    const text = "  network,\n  mount -> /var/lib/lxc/{**,},\n";
    mkdirSync(dirname(rules), { recursive: true });
    mkdirSync(join(other, "lxc"));
    writeFileSync(rules, text);
    const all = (verb: string) => host.veneer(verb, "lxc", "--etc", other);
    await all("setup");
    expect(read(rules)).toBe(text);
    writeFileSync(join(other, "lxc/lxc.conf"), "lxc.lxcpath = /srv/my containers\n");
    const { stdout, stderr } = await all("setup");
    expect(stdout.split("\n")).toContain(rules);
    expect(stderr).toContain(`now: apparmor_parser -r ${other}/apparmor.d/usr.bin.lxc-start; `);
    const rule = `  mount -> "/srv/my containers/{**,}", # added by 'veneer setup lxc'\n`;
    expect(read(rules)).toBe(text + rule);
    writeFileSync(join(other, "lxc/lxc.conf"), "lxc.lxcpath = /srv/lxc\n");
    await all("setup");
    expect(read(rules)).toBe(text + rule.replace("my containers", "lxc"));
    await all("unsetup");
    expect(read(rules)).toBe(text);
  });

  test("puts the hooks into what new containers are made from", async () => {
    const all = (verb: string, ...args: string[]) => host.veneer(verb, "lxc", "--etc", etc, ...args);
    const original = read(join(etc, "lxc/default.conf"));
    expect((await all("setup")).stdout).toBe(join(etc, "lxc/default.conf"));
    expect((await all("setup")).stdout).toBe("");
    lxc.expect("made");
    const config = ["-f", join(etc, "lxc/default.conf")];
    await must("lxc-create", ["-P", lxc.path, "-n", "made", "-t", "none", ...config]);
    const plain = join(lxc.path, "made/rootfs");
    await must("cp", ["-a", `${join(host.dir, "tree-b")}/.`, plain]);
    writeFileSync(configOf("made"), `${read(configOf("made"))}lxc.rootfs.path = dir:${plain}\n`);
    expect(await lxc.execute("made", "/bin/cat", "/tmp/of-the-base")).toMatchObject({ status: 0 });
    writeFileSync(configOf("made"), `${read(configOf("made"))}lxc.environment = VENEER_BASE=b\n`);
    const run = await lxc.execute("made", "/bin/sh", "-c", "test ! -e /tmp/of-the-base; cat /etc/os-release");
    expect(run).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    await eventually(() => (leftovers(host).length === 0 ? true : undefined));
    await all("unsetup");
    expect(read(join(etc, "lxc/default.conf"))).toBe(original);
    expect(await lxc.execute("made", "/bin/cat", "/etc/os-release")).toMatchObject({ status: 0 });
  });
});
