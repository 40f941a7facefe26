import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { type Host, makeHost, must, sh } from "../helpers/host.ts";
import { eventually, type Lxc, makeLxc } from "../helpers/lxc.ts";
import { killAt } from "../helpers/strace.ts";

let host: Host;
let lxc: Lxc;
const SLEEP = { lines: ["lxc.init.cmd = /bin/sleep 1000"] };

beforeAll(() => {
  host = makeHost();
  makeBase(host, "b");
  lxc = makeLxc(host);
});
afterAll(async () => {
  await lxc.stopAll();
  await host.remove();
});

const nothingIsLeft = () => eventually(() => (leftovers(host).length === 0 ? true : undefined));

/** Runs a shell command in a container of veneer-runc. */
async function runc(id: string, annotations: Record<string, string>, command: string) {
  const bundle = join(host.dir, `bundle-${id}`);
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  if (!existsSync(join(bundle, "config.json"))) await must("runc", ["spec"], { cwd: bundle });
  const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  config.process = { ...config.process, terminal: false, args: ["/bin/sh", "-c", command], rlimits: [] };
  config.root = { path: "rootfs" };
  config.annotations = annotations;
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  const env = { PATH: host.path };
  return sh(join(host.bin, "veneer-runc"), ["--root", join(host.dir, "runc"), "run", "-b", bundle, id], {
    env,
  });
}

describe("a persistent upper", () => {
  test("has the container's name and is found again", async () => {
    lxc.container("keeps", { hook: "--base b --persistent" });
    await lxc.execute("keeps", "/bin/sh", "-c", "echo kept >/etc/made; rm /etc/group");
    const outcome = await lxc.execute("keeps", "/bin/sh", "-c", "cat /etc/made; test ! -e /etc/group");
    expect(outcome).toMatchObject({ status: 0, stdout: "kept" });
    expect(readdirSync(join(host.root, "instances"))).toContain("keeps");
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("is found again by name after another container made it", async () => {
    lxc.container("one", { hook: "--base b --persistent --instance named" });
    lxc.container("two", { hook: "--instance named" });
    await lxc.execute("one", "/bin/sh", "-c", "echo kept >/etc/made");
    expect(await lxc.execute("two", "/bin/cat", "/etc/made")).toMatchObject({ status: 0, stdout: "kept" });
  });

  test("that runc made is found by LXC, and the other way round", async () => {
    const annotations = {
      "run.veneer.base": "b",
      "run.veneer.instance": "web1",
      "run.veneer.upper": "persistent",
    };
    expect(await runc("c1", annotations, "echo from runc >/etc/runc")).toMatchObject({ status: 0 });
    lxc.container("web1", { hook: "--base b --persistent" });
    const script = "cat /etc/runc; echo from lxc >/etc/lxc";
    expect(await lxc.execute("web1", "/bin/sh", "-c", script)).toMatchObject({
      status: 0,
      stdout: "from runc",
    });
    expect(await runc("c2", annotations, "cat /etc/lxc")).toMatchObject({ status: 0, stdout: "from lxc" });
    await nothingIsLeft();
  });

  test("stays through a reboot from inside", async () => {
    const script =
      "echo x >>/etc/boots\nif test $(wc -l </etc/boots) = 3; then exec sleep 1000; fi\nreboot -f";
    writeFileSync(join(host.dir, "init"), script);
    lxc.container("reboots", {
      hook: "--base b --persistent",
      lines: [
        `lxc.mount.entry = ${join(host.dir, "init")} init none bind,create=file 0 0`,
        "lxc.init.cmd = /bin/sh /init",
      ],
    });
    await lxc.tool("start", "reboots", "-d");
    const boots = join(host.root, "instances/reboots/1/upper/etc/boots");
    await eventually(() =>
      existsSync(boots) && readFileSync(boots, "utf8") === "x\nx\nx\n" ? true : undefined,
    );
    expect(await lxc.tool("attach", "reboots", "--", "/bin/cat", "/etc/boots")).toMatchObject({
      stdout: "x\nx\nx",
    });
    await lxc.tool("stop", "reboots", "-k");
    await nothingIsLeft();
  });

  test("in memory is gone after the stop", async () => {
    lxc.container("memory", { hook: "--base b --tmpfs 4m", ...SLEEP });
    await lxc.tool("start", "memory", "-d");
    const script = "dd if=/dev/zero of=/big bs=1M count=8 2>/dev/null; ls -l /big | grep -c 4.*big";
    await lxc.tool("attach", "memory", "--", "/bin/sh", "-c", script);
    expect(readdirSync(join(host.root, "ephemeral"))).toEqual([]);
    await lxc.tool("stop", "memory", "-k");
    await nothingIsLeft();
  });
});

describe("a second container on one upper", () => {
  test("is refused, and its user is told who holds it", async () => {
    lxc.container("holder", { hook: "--base b --persistent --instance shared", ...SLEEP });
    lxc.container("second", { hook: "--base b --persistent --instance shared" });
    expect(await lxc.tool("start", "holder", "-d")).toMatchObject({ status: 0 });
    const { stdout: pid } = await lxc.tool("info", "holder", "-pH");
    const line = `start shared: instance shared is held by container holder (lxc), process ${pid}, since `;

    const inFront = await lxc.execute("second", "/bin/true");
    expect(inFront.status).not.toBe(0);
    expect(inFront.stderr).toContain(`veneer: ${line}`);

    const inBackground = await lxc.tool("start", "second", "-d");
    expect(inBackground.status).not.toBe(0);
    const logged = lxc
      .log()
      .split("\n")
      .filter((text) => text.includes(line));
    expect(logged).toHaveLength(2);
    expect(logged[1]).toMatch(/^veneer second [0-9]{14}\.[0-9]{3} ERROR {4}veneer - start shared: /);

    const annotations = { "run.veneer.base": "b", "run.veneer.instance": "shared" };
    const other = await runc("c3", annotations, "true");
    expect(other.status).not.toBe(0);
    expect(other.stderr).toContain(line);

    expect(await lxc.tool("attach", "holder", "--", "/bin/true")).toMatchObject({ status: 0 });
    await lxc.tool("stop", "holder", "-k");
    await nothingIsLeft();
    expect(await lxc.execute("second", "/bin/true")).toMatchObject({ status: 0 });
  });

  test("is let in when the first was killed with its monitor and no hook ran", async () => {
    lxc.container("killed", { hook: "--base b --persistent --instance freed", ...SLEEP });
    lxc.container("next", { hook: "--base b --persistent --instance freed" });
    await lxc.tool("start", "killed", "-d");
    const { stdout: pid } = await lxc.tool("info", "killed", "-pH");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const monitor = /^PPid:\s*([0-9]+)$/m.exec(status)?.[1] as string;
    await must("kill", ["-9", monitor, pid]);
    await eventually(() => (existsSync(`/proc/${pid}`) ? undefined : true));
    expect(leftovers(host)).not.toEqual([]);
    expect(await lxc.execute("next", "/bin/true")).toMatchObject({ status: 0 });
    await expect.poll(() => leftovers(host)).toEqual([]);
  });
});

describe("without post-stop", () => {
  test("gc finds what is left, and nothing of a container that runs", async () => {
    lxc.container("running", { hook: "--base b --persistent", untidy: true, ...SLEEP });
    lxc.container("ended", { untidy: true });
    await lxc.tool("start", "running", "-d");
    await lxc.execute("ended", "/bin/touch", "/etc/made");
    expect(leftovers(host)).toHaveLength(3);
    await host.ok("gc");
    expect(leftovers(host)).toEqual([expect.stringContaining("/records/running~")]);
    expect(await lxc.tool("attach", "running", "--", "/bin/touch", "/etc/x")).toMatchObject({ status: 0 });
    await lxc.tool("stop", "running", "-k");
    await eventually(async () => {
      await host.ok("gc");
      return leftovers(host).length === 0 ? true : undefined;
    });
    expect(existsSync(join(host.root, "instances/running/1/upper/etc/x"))).toBe(true);
  });

  test("the next start of the container puts its leftovers away", async () => {
    lxc.container("untidy", { untidy: true });
    await lxc.execute("untidy", "/bin/touch", "/etc/made");
    const first = leftovers(host);
    expect(first).toHaveLength(2);
    expect(await lxc.execute("untidy", "/bin/test", "-e", "/etc/made")).toMatchObject({ status: 1 });
    const second = leftovers(host);
    expect(second).toHaveLength(2);
    expect(second[1]).not.toBe(first[1]);
    lxc.container("untidy");
    await lxc.execute("untidy", "/bin/true");
    await expect.poll(() => leftovers(host)).toEqual([]);
  });
});

describe("a hook that is killed midway", () => {
  const veneer = () => join(host.bin, "veneer");
  const killed = (call: string, options: string) =>
    `lxc.hook.pre-mount = /usr/bin/strace ${killAt({ call, when: 1 }).join(" ")} ${veneer()} hook lxc ${options}`;

  test.each(["mkdirat", "renameat2", "lsetxattr", "fsmount", "move_mount"])(
    "at %s starts nothing, and the next start puts all away",
    async (call) => {
      const name = `killed-${call.replace("_", "-")}`;
      lxc.container(name, { only: [killed(call, "--base b --persistent")] });
      const outcome = await lxc.execute(name, "/bin/touch", "/started");
      expect(outcome.status).not.toBe(0);
      lxc.container(name, { hook: "--base b --persistent" });
      expect(await lxc.execute(name, "/bin/test", "!", "-e", "/started")).toMatchObject({ status: 0 });
      await host.ok("gc");
      await expect.poll(() => leftovers(host)).toEqual([]);
      expect(await host.ok("gc", "--dry-run")).toBe("would free nothing");
    },
  );
});

describe("lxc-copy -e", () => {
  beforeAll(() => {
    for (const name of ["copy", "copy2", "copy3"]) lxc.expect(name);
  });

  test("stacks its own overlay on the base", async () => {
    lxc.container("original", SLEEP);
    const copied = await lxc.tool("copy", "original", "-e", "-N", "copy");
    expect(copied).toMatchObject({ status: 0 });
    const script = "cat /etc/os-release; echo x >/etc/made; ls /tmp";
    const attached = await lxc.tool("attach", "copy", "--", "/bin/sh", "-c", script);
    expect(attached).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    await lxc.tool("stop", "copy", "-k");
    await eventually(() => (existsSync(join(lxc.path, "copy")) ? undefined : true));
    await nothingIsLeft();
  });

  test("of a named persistent upper sees its files and leaves them as they are", async () => {
    lxc.container("stateful", { hook: "--base b --persistent --instance state", ...SLEEP });
    await lxc.execute("stateful", "/bin/sh", "-c", "echo kept >/etc/made");
    expect(await lxc.tool("copy", "stateful", "-e", "-N", "copy2")).toMatchObject({ status: 0 });
    const script = "cat /etc/made; echo changed >/etc/made";
    expect(await lxc.tool("attach", "copy2", "--", "/bin/sh", "-c", script)).toMatchObject({
      stdout: "kept",
    });
    await lxc.tool("stop", "copy2", "-k");
    await nothingIsLeft();
    expect(await lxc.execute("stateful", "/bin/cat", "/etc/made")).toMatchObject({ stdout: "kept" });
  });

  test("of a persistent upper without a name is refused", async () => {
    lxc.container("unnamed", { hook: "--base b --persistent", ...SLEEP });
    expect((await lxc.tool("copy", "unnamed", "-e", "-N", "copy3")).status).not.toBe(0);
    expect(lxc.log()).toContain("container copy3 is an ephemeral copy of one with a persistent upper");
    expect(readdirSync(join(host.root, "instances"))).not.toContain("copy3");
  });
});
