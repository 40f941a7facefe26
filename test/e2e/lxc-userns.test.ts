/** LXC containers with a user namespace (lxc.idmap) that root starts, on shared bases. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { leftovers, plantBase } from "../helpers/base.ts";
import { compileFixture, type Host, makeHost, PROJECT, sh } from "../helpers/host.ts";
import { eventually, type Lxc, makeLxc } from "../helpers/lxc.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { inject, killAt, momentsOf, recordTo, tryStrace } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";
import { grantIds, openTo } from "../helpers/userns.ts";

let host: Host;
let lxc: Lxc;
let base: string;
let before: string;
let revoke: () => Promise<unknown>;

const FIRST = 200_000;
/** 65,536 ids from `first` on. */
const idmap = (first = FIRST) => ["u", "g"].map((kind) => `${kind} 0 ${first} 65536`);
const SLEEP = ["lxc.init.cmd = /bin/sleep 1000"];

beforeAll(async () => {
  host = makeHost();
  openTo(host);
  base = makeTree(join(host.dir, "base"));
  writeFileSync(join(base, "etc/daemon"), "of uid 33\n");
  chownSync(join(base, "etc/daemon"), 33, 34);
  await compileFixture("as-root", join(base, "bin/as-root"));
  chmodSync(join(base, "bin/as-root"), 0o4755);
  plantBase(host, "b", base);
  before = await treeManifest(base);
  lxc = makeLxc(host);
  revoke = await grantIds(host, FIRST, 400_000);
});
afterAll(async () => {
  await lxc.stopAll();
  await revoke();
  await host.remove();
});
afterEach(async () => {
  await nothingIsLeft();
  expect(await treeManifest(base)).toBe(before);
});

const mountinfo = () => readFileSync("/proc/self/mountinfo", "utf8");
/** Mounts of roots on the host; the user namespaces that are kept (RUN/userns) do not count. */
const roots = () =>
  mountinfo()
    .split("\n")
    .filter((line) => line.includes("veneer:"));
const nothingIsLeft = () =>
  eventually(() => (leftovers(host).length + roots().length === 0 ? true : undefined));

async function output(name: string, script: string): Promise<string[]> {
  const outcome = await lxc.execute(name, "/bin/sh", "-c", `set -e\n${script}`);
  expect(outcome).toMatchObject({ status: 0 });
  return outcome.stdout.split("\n");
}

describe("lxc-execute", () => {
  test.each([0, 1] as const)("shows the base's owners with lxc.hook.version %i", async (hookVersion) => {
    const name = `owners${hookVersion}`;
    const rootfs = lxc.container(name, { idmap: idmap(), hookVersion });
    const script = "cat /etc/os-release; stat -c %u:%g / /etc/daemon; stat -c %a:%u /tmp /root; id -u";
    expect(await output(name, script)).toEqual(["ID=veneer-test", "0:0", "33:34", "1777:0", "700:0", "0"]);
    expect(readdirSync(rootfs)).toEqual([]);
  });

  test("lets root inside change owners, and users run set-user-ID programs", async () => {
    lxc.container("changes", { idmap: idmap() });
    const script =
      "chown 7:8 /etc/daemon; echo own >>/etc/daemon; stat -c %u:%g /etc/daemon; rm /etc/os-release; ls /etc/os-release || true";
    expect(await output("changes", script)).toEqual(["7:8"]);
    lxc.container("user", { idmap: idmap(), lines: ["lxc.init.uid = 1000", "lxc.init.gid = 1000"] });
    const asUser = "as-root; id -u; touch /etc/x 2>/dev/null || echo refused";
    expect(await output("user", asUser)).toEqual(["0", "1000", "refused"]);
  });

  test("takes an idmapped root that a later line takes back", async () => {
    const lines = ["lxc.rootfs.options = idmap=container", "lxc.rootfs.options ="];
    lxc.container("taken-back", { idmap: idmap(), lines });
    expect(await output("taken-back", "stat -c %u:%g /etc/daemon")).toEqual(["33:34"]);
  });

  test("takes maps of several extents, which an included file has", async () => {
    const extra = join(host.dir, "extra.conf");
    writeFileSync(extra, "lxc.idmap = u 2000 270000 10\nlxc.idmap=g 1000 260000 1000\n");
    lxc.container("extents", {
      idmap: ["u 0 200000 1000", "g 0 250000 1000", "u 1000 300000 1"],
      lines: [`lxc.include = ${extra}`],
    });
    const script =
      "stat -c %u:%g /etc/daemon; touch /a; chown 2005:1999 /a; stat -c %u:%g /a; chown 1500:0 /a 2>&1 | sed 's/.*: //'";
    expect(await output("extents", script)).toEqual(["33:34", "2005:1999", "Invalid argument"]);
  });

  test("serves containers of different maps, and without one, at once", async () => {
    lxc.container("one", { idmap: idmap(200_000) });
    lxc.container("two", { idmap: idmap(300_000) });
    lxc.container("three");
    const script = (name: string) =>
      `echo ${name} >/etc/own; sleep 0.3; cat /etc/own; stat -c %u /etc/daemon; awk '{print $2}' /proc/self/uid_map`;
    const outputs = await Promise.all(["one", "two", "three"].map((name) => output(name, script(name))));
    expect(outputs).toEqual([
      ["one", "33", "200000"],
      ["two", "33", "300000"],
      ["three", "33", "0"],
    ]);
  });

  test("keeps an instance's plain ids, whatever the map of its container", async () => {
    const hook = "--base b --persistent --instance kept";
    lxc.container("kept1", { hook, idmap: idmap(200_000) });
    lxc.container("kept2", { hook, idmap: idmap(300_000) });
    lxc.container("kept3", { hook });
    await output("kept1", "echo it >/etc/kept; chown 5:6 /etc/kept");
    for (const name of ["kept2", "kept3", "kept1"]) {
      expect(await output(name, "cat /etc/kept; stat -c %u:%g /etc/kept")).toEqual(["it", "5:6"]);
    }
    const upper = join(host.root, "instances/kept/1/upper/etc/kept");
    expect(statSync(upper)).toMatchObject({ uid: 5, gid: 6 });
    await host.ok("rm", "kept");
  });

  test("has a read-only root, a root in memory, mounts on files that the base lacks", async () => {
    const lines = ["lxc.rootfs.options = ro"];
    lxc.container("ro", { idmap: idmap(), lines });
    expect(await output("ro", "touch /x 2>&1 | sed 's/.*: //'; cat /etc/os-release")).toEqual([
      "Read-only file system",
      "ID=veneer-test",
    ]);
    const entry = `lxc.mount.entry = ${join(host.dir, "base/etc")} srv/new none bind,ro,create=dir 0 0`;
    lxc.container("memory", { hook: "--base b --tmpfs 1M", idmap: idmap(), lines: [entry] });
    expect(await output("memory", "touch /x; stat -c %u /x /srv/new/daemon /srv/new")).toEqual([
      "0",
      "65534",
      "65534",
    ]);
  });

  test("does the same with all hooks in place, as veneer.conf has them, with and without lxc.idmap", async () => {
    const text = readFileSync(join(PROJECT, "hooks/lxc/veneer.conf"), "utf8");
    const file = join(host.dir, "veneer.conf");
    const here = text.replace("/run/veneer/userns", `${host.run}/userns`);
    expect(here).not.toBe(text);
    writeFileSync(file, here.replaceAll("@PREFIX@/bin", host.bin));
    const only = [`lxc.include = ${file}`, "lxc.environment = VENEER_BASE=b"];
    lxc.container("include1", { only, idmap: idmap() });
    lxc.container("include2", { only });
    for (const name of ["include1", "include2"]) {
      expect(await output(name, "stat -c %u /etc/daemon; touch /etc/own")).toEqual(["33"]);
    }
    lxc.container("include4", { only, idmap: idmap(), lines: SLEEP });
    await lxc.tool("start", "include4", "-d");
    expect(roots()).toEqual([]);
    await lxc.tool("stop", "include4", "-k");
    lxc.container("include3", { only: only.slice(0, 1), idmap: idmap() });
    expect((await lxc.execute("include3", "/bin/true")).stderr).not.toContain("veneer: ");
  });
});

describe("lxc-start -d", () => {
  test("leaves nothing on the host while the container runs, and nothing at all after it", async () => {
    lxc.container("web", { idmap: idmap(), lines: SLEEP });
    expect(await lxc.tool("start", "web", "-d")).toMatchObject({ status: 0 });
    expect(roots()).toEqual([]);
    const attached = await lxc.tool("attach", "web", "--", "/bin/sh", "-c", "touch /x; stat -c %u / /x");
    expect(attached).toMatchObject({ status: 0, stdout: "0\n0" });
    const { stdout: pid } = await lxc.tool("info", "web", "-pH");
    const [running] = JSON.parse(await host.ok("ps", "--json"));
    expect(running).toMatchObject({ engine: "lxc", container: "web", pid: Number(pid) });
    await host.ok("gc");
    expect(await lxc.tool("attach", "web", "--", "/bin/ls", "/x")).toMatchObject({ status: 0 });
    expect(await lxc.tool("stop", "web", "-k")).toMatchObject({ status: 0 });
  });

  test("works on a host whose / is a shared mount", async () => {
    lxc.container("shared", { idmap: idmap(), lines: SLEEP });
    const script = `
      mount --make-rshared /
      lxc-start -P ${lxc.path} -n shared -d || exit 9
      grep -c veneer: /proc/self/mountinfo
      lxc-attach -P ${lxc.path} -n shared -- /bin/stat -c %u /etc/daemon
      lxc-stop -P ${lxc.path} -n shared -k`;
    const args = ["-m", "--propagation", "private", "sh", "-c", script];
    const outcome = await sh("unshare", args, { cwd: host.dir, env: { PATH: host.path } });
    expect(outcome).toMatchObject({ status: 0, stdout: "0\n33" });
  });

  test("without start-host the root stays mounted on the host until the container stops", async () => {
    const veneer = join(host.bin, "veneer");
    const only = ["pre-start", "post-stop"].map((type) => `lxc.hook.${type} = ${veneer} hook lxc --base b`);
    const rootfs = lxc.container("stays", { only, idmap: idmap(), lines: SLEEP });
    await lxc.tool("start", "stays", "-d");
    expect(roots()).toHaveLength(1);
    expect(roots()[0]).toContain(` ${rootfs} `);
    await host.ok("gc");
    expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([{ container: "stays" }]);
    expect(await lxc.tool("attach", "stays", "--", "/bin/ls", "/etc/daemon")).toMatchObject({ status: 0 });
    await lxc.tool("stop", "stays", "-k");
  });

  test("comes up again on a fresh upper after a reboot from inside, also without post-stop", async () => {
    const data = join(host.dir, "reboot-data");
    mkdirSync(data);
    chmodSync(data, 0o777);
    writeFileSync(
      join(data, "init"),
      "if test -e /data/second; then touch /data/done; exec sleep 1000; fi\ntouch /data/second /etc/made\nreboot -f\n",
    );
    for (const untidy of [false, true]) {
      const name = `reboot-${untidy}`;
      const lines = [
        `lxc.mount.entry = ${data} data none bind,create=dir 0 0`,
        "lxc.init.cmd = /bin/sh /data/init",
      ];
      lxc.container(name, { idmap: idmap(), untidy, lines });
      await lxc.tool("start", name, "-d");
      await eventually(() => (existsSync(join(data, "done")) ? true : undefined));
      expect((await lxc.tool("attach", name, "--", "/bin/test", "-e", "/etc/made")).status).toBe(1);
      expect(leftovers(host)).toHaveLength(2);
      await lxc.tool("stop", name, "-k");
      for (const file of ["second", "done"]) rmSync(join(data, file));
      if (untidy) await host.ok("gc");
    }
  });

  test("has ephemeral copies, several at once", async () => {
    lxc.container("copied", { idmap: idmap(), lines: SLEEP });
    const names = ["copy1", "copy2", "copy3"];
    const copies = await Promise.all(
      names.map((name) => {
        lxc.expect(name);
        return sh("lxc-copy", ["-P", lxc.path, "-n", "copied", "-N", name, "-e"], { cwd: host.dir });
      }),
    );
    for (const copy of copies) expect(copy).toMatchObject({ status: 0 });
    expect(roots()).toEqual([]);
    for (const name of names) {
      const script = "ls /own 2>/dev/null; touch /own; stat -c %u / /etc/daemon";
      const seen = await lxc.tool("attach", name, "--", "/bin/sh", "-c", script);
      expect(seen).toMatchObject({ status: 0, stdout: "0\n33" });
    }
    await host.ok("gc");
    expect(await lxc.tool("attach", "copy2", "--", "/bin/ls", "/own", "/etc/daemon")).toMatchObject({
      status: 0,
    });
    for (const name of names) await lxc.tool("stop", name, "-k");
  });

  test("gc puts away what a killed monitor leaves, the container gone with it", async () => {
    for (const [name, lines] of [
      ["killed", SLEEP],
      // killed before start-host
      ["killed-early", [`lxc.hook.pre-mount = /bin/sleep 1000`]],
    ] as const) {
      lxc.container(name, { idmap: idmap(), lines });
      void lxc.tool("start", name, "-d");
      const pid = await eventually(() => {
        const record = readdirSync(join(host.run, "records")).find((file) => file.endsWith(".json"));
        const text = record && readFileSync(join(host.run, "records", record), "utf8");
        const { placement, preparer } = text ? JSON.parse(text) : {};
        return placement === (name === "killed" ? "container" : "host") ? preparer?.pid : undefined;
      });
      if (name !== "killed") await eventually(() => (roots().length > 0 ? true : undefined));
      process.kill(pid, "SIGKILL");
      await eventually(async () => {
        await host.ok("gc");
        return leftovers(host).length + roots().length === 0 ? true : undefined;
      });
    }
  });

  test.each(["with start-host", "without"])("a running container follows a rebase, %s", async (way) => {
    const next = join(host.dir, "next");
    if (!existsSync(next)) writeFileSync(join(makeTree(next), "etc/only-2"), "");
    plantBase(host, "moving", base, 1);
    plantBase(host, "moving", next, 2);
    const [option, types] = [
      "hook lxc --base moving@1 --persistent --instance moves",
      way === "without" ? ["pre-start", "post-stop"] : ["pre-start", "start-host", "post-stop"],
    ];
    const hooks = types.map((type) => `lxc.hook.${type} = ${join(host.bin, "veneer")} ${option}`);
    const name = `moves-${types.length}`;
    lxc.container(name, {
      only: hooks,
      idmap: idmap(),
      lines: [...SLEEP, "lxc.mount.auto = proc:mixed sys:mixed", "lxc.autodev = 1"],
    });
    await lxc.tool("start", name, "-d");
    const attach = (script: string) => lxc.tool("attach", name, "--", "/bin/sh", "-c", script);
    await attach("touch /own; chown 5:6 /own");
    await host.ok("rebase", "moves", "moving@2");
    const seen = await attach("stat -c %u:%g / /own /etc/only-2; touch /new; stat -c %u:%g /new");
    expect(seen).toMatchObject({ status: 0, stdout: "0:0\n5:6\n0:0\n0:0" });
    expect(roots()).toHaveLength(way === "without" ? 1 : 0);
    await host.ok("gc");
    await host.ok("rebase", "moves", "moving@1");
    expect((await attach("ls /etc/only-2 /new")).stdout).toBe("/new");
    await lxc.tool("stop", name, "-k");
    await nothingIsLeft();
    await host.ok("rm", "moves");
  });
});

describe("a kill of the hook", () => {
  /** Starts a container without post-stop, with strace before the hook of one type. */
  async function traced(type: string, options: readonly string[]): Promise<number | null> {
    const name = `traced-${type}`;
    const hook = (one: string) => {
      const strace = one === type ? ["/usr/bin/strace", ...options] : [];
      return `lxc.hook.${one} = ${[...strace, join(host.bin, "veneer"), "hook lxc --base b"].join(" ")}`;
    };
    const only = ["lxc.hook.version = 1", ...["pre-start", "start-host"].map(hook)];
    lxc.container(name, { only, idmap: idmap() });
    return (await lxc.execute(name, "/bin/true")).status;
  }

  test.each([
    ["pre-start", ["symlinkat", "renameat2", "mkdirat", "move_mount"]],
    ["start-host", ["umount2", "renameat2"]],
  ])("at %s leaves what gc puts away", async (type, calls) => {
    tryStrace();
    const file = join(host.dir, `trace-${type}`);
    // the first start makes directories that stay
    for (const _run of [1, 2]) {
      expect(await traced(type, recordTo(file))).toBe(0);
      await host.ok("gc");
      await nothingIsLeft();
    }
    const moments = momentsOf(file).filter(({ call }) => calls.includes(call));
    expect(moments.length).toBeGreaterThanOrEqual(2);
    for (const moment of moments) {
      expect(await traced(type, killAt(moment)), JSON.stringify(moment)).not.toBe(0);
      await eventually(async () => {
        await host.ok("gc");
        return (
          leftovers(host).filter((path) => !/\.json\.\w+$/.test(path)).length + roots().length === 0 ||
          undefined
        );
      });
      for (const path of leftovers(host)) rmSync(path);
    }
  });
});

describe("setup lxc", () => {
  const maps = () => idmap().map((map) => `lxc.idmap = ${map}\n`);
  const place = () => ["--lxcpath", lxc.path, "--etc", join(host.dir, "etc")];

  test("gives a container what its lxc.idmap needs, and what it needs without", async () => {
    const rootfs = lxc.container("set", { only: [], idmap: idmap() });
    const config = join(lxc.path, "set/config");
    const text = readFileSync(config, "utf8");
    await host.ok("setup", "lxc", "set", "--base", "b", ...place());
    expect(readFileSync(config, "utf8")).not.toContain("hook.pre-mount");
    expect(await output("set", "stat -c %u /etc/daemon")).toEqual(["33"]);
    await host.ok("unsetup", "lxc", "set", ...place());
    expect(readFileSync(config, "utf8")).toBe(text);

    await host.ok("setup", "lxc", "set", "--base", "b", ...place());
    writeFileSync(config, readFileSync(config, "utf8").replaceAll(/^lxc.idmap.*\n/gm, ""));
    expect((await lxc.execute("set", "/bin/true")).stderr).toContain("run 'veneer setup lxc set' again");
    await host.ok("setup", "lxc", "set", "--base", "b", ...place());
    expect(readFileSync(config, "utf8")).not.toContain("hook.pre-start");
    expect(await output("set", "stat -c %u /etc/daemon")).toEqual(["33"]);
    expect(readdirSync(rootfs)).toEqual([]);
  });

  test("makes a container with the maps that the administrator gives to all", async () => {
    mkdirSync(join(host.dir, "etc/lxc"), { recursive: true });
    writeFileSync(join(host.dir, "etc/lxc/default.conf"), `lxc.net.0.type = empty\n${maps().join("")}`);
    lxc.expect("made");
    await host.ok("setup", "lxc", "made", "--base", "b", "--persistent", ...place());
    expect(statSync(join(lxc.path, "made"))).toMatchObject({ uid: FIRST, gid: FIRST });
    expect(await output("made", "stat -c %u /etc/daemon; touch /own")).toEqual(["33"]);
    expect(await output("made", "stat -c %u /own")).toEqual(["0"]);
    await host.ok("unsetup", "lxc", "made", ...place());
    expect(existsSync(join(lxc.path, "made"))).toBe(false);
    await host.ok("rm", "made");
  });

  test("writes the hooks for all new containers as their maps need them", async () => {
    const file = join(host.dir, "etc/lxc/default.conf");
    const text = `lxc.net.0.type = empty\n${maps().join("")}`;
    writeFileSync(file, text);
    await host.ok("setup", "lxc", "--etc", join(host.dir, "etc"));
    expect(readFileSync(file, "utf8").match(/hook\.[a-z-]+/g)).toEqual([
      "hook.pre-start",
      "hook.start-host",
      "hook.post-stop",
    ]);
    await host.ok("unsetup", "lxc", "--etc", join(host.dir, "etc"));
    expect(readFileSync(file, "utf8")).toBe(text);
  });
});

describe("refused with a line, and nothing left", () => {
  /** veneer's line from the stderr of lxc-execute. */
  async function refusal(name: string): Promise<string> {
    const outcome = await lxc.execute(name, "/bin/touch", "/started");
    expect(outcome.status).not.toBe(0);
    await nothingIsLeft();
    return outcome.stderr.split("\n").find((line) => line.startsWith("veneer: ")) ?? outcome.stderr;
  }

  test("a base that is not there", async () => {
    lxc.container("no-base", { hook: "--base nosuch", idmap: idmap() });
    expect(await refusal("no-base")).toMatch(/^veneer: start no-base: no base nosuch in /);
  });

  test("a container that LXC cannot start", async () => {
    lxc.container("fails", { idmap: idmap(), lines: ["lxc.mount.entry = /nosuch data none bind 0 0"] });
    await refusal("fails");
  });

  test("a root that the container's root cannot reach", async () => {
    lxc.container("closed", { idmap: idmap() });
    chownSync(join(lxc.path, "closed"), 0, 0);
    expect(await refusal("closed")).toContain(
      `root of container closed (uid 200000) cannot reach '${lxc.path}/closed/rootfs'; hint: chown 200000:200000 '${lxc.path}/closed' && chmod 0770 '${lxc.path}/closed'`,
    );
  });

  test("a root that everybody could reach", async () => {
    lxc.container("open", { idmap: idmap() });
    chmodSync(join(lxc.path, "open"), 0o755);
    expect(await refusal("open")).toContain(
      `every user of the host could reach '${lxc.path}/open/rootfs'; hint: chown 200000:200000 '${lxc.path}/open' && chmod 0770 '${lxc.path}/open'`,
    );
  });

  test("a map without groups, or without root", async () => {
    lxc.container("no-groups", { idmap: ["u 0 200000 65536"] });
    expect(await refusal("no-groups")).toContain("container no-groups has no line 'lxc.idmap = g …'");
    lxc.container("no-root", { idmap: ["u 1 200000 65535", "g 1 200000 65535"] });
    expect(await refusal("no-root")).toContain("cannot tell who is root in the container's user namespace");
  });

  test("lxc.idmap without pre-start, and pre-start alone without lxc.idmap", async () => {
    const lines = idmap().map((map) => `lxc.idmap = ${map}`);
    lxc.container("no-pre-start", { lines });
    chownSync(join(lxc.path, "no-pre-start"), FIRST, 0);
    expect(await refusal("no-pre-start")).toContain("it needs lxc.hook.pre-start too");
    lxc.container("no-pre-mount", { idmap: [] });
    expect(await refusal("no-pre-mount")).toContain("and no lxc.hook.pre-mount to mount its root");
  });

  test("a kernel that cannot idmap, unless a copy with shifted owners is allowed", async () => {
    tryStrace();
    await host.ok("base", "import", "copied", base);
    const strace = `/usr/bin/strace ${inject("mount_setattr", "error=EINVAL").join(" ")}`;
    const veneer = join(host.bin, "veneer");
    const only = (option: string) => [
      "lxc.hook.version = 1",
      `lxc.hook.pre-start = ${strace} ${veneer} hook lxc --base copied ${option}`,
      `lxc.hook.start-host = ${veneer} hook lxc`,
      `lxc.hook.post-stop = ${veneer} hook lxc`,
    ];
    lxc.container("old", { only: only(""), idmap: idmap() });
    const outcome = await lxc.execute("old", "/bin/true");
    expect(outcome.status).not.toBe(0);
    lxc.container("old", { only: only("--shifted-copy"), idmap: idmap() });
    expect(await output("old", "stat -c %u:%g / /etc/daemon; touch /x; stat -c %u /x")).toEqual([
      "0:0",
      "33:34",
      "0",
    ]);
    await nothingIsLeft();
    await host.ok("base", "rm", "copied");
    await host.ok("gc");
  });

  test("a second container on one upper", async () => {
    const hook = "--base b --persistent --instance single";
    lxc.container("holder", { hook, idmap: idmap(), lines: SLEEP });
    lxc.container("other", { hook, idmap: idmap(300_000) });
    await lxc.tool("start", "holder", "-d");
    const outcome = await lxc.execute("other", "/bin/true");
    expect(outcome.stderr).toContain("instance single is held by container holder (lxc)");
    expect(roots()).toEqual([]);
    expect(await lxc.tool("attach", "holder", "--", "/bin/true")).toMatchObject({ status: 0 });
    await lxc.tool("stop", "holder", "-k");
    await nothingIsLeft();
    await host.ok("rm", "single");
  });
});
