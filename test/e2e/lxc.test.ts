import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { type Host, makeHost, must, PROJECT, sh } from "../helpers/host.ts";
import { eventually, type Lxc, makeLxc } from "../helpers/lxc.ts";

let host: Host;
let lxc: Lxc;

beforeAll(() => {
  host = makeHost();
  makeBase(host, "b");
  lxc = makeLxc(host);
});
afterAll(async () => {
  await lxc.stopAll();
  await host.remove();
});

const mountinfo = () => readFileSync("/proc/self/mountinfo", "utf8");
const nothingIsLeft = () => eventually(() => (leftovers(host).length === 0 ? true : undefined));

describe("lxc-execute", () => {
  test.each([0, 1] as const)("starts on the base with lxc.hook.version %i", async (hookVersion) => {
    const name = `version${hookVersion}`;
    const rootfs = lxc.container(name, { hookVersion });
    const before = mountinfo();
    const script = "cat /etc/os-release; echo own >/etc/own; ls -A /tmp /root; stat -c %a /tmp /root";
    const outcome = await lxc.execute(name, "/bin/sh", "-c", script);
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test\n/root:\n\n/tmp:\n1777\n700" });
    expect(mountinfo()).toBe(before);
    expect(await must("ls", ["-A", rootfs])).toBe("");
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("gives the command's status", async () => {
    lxc.container("status");
    expect((await lxc.execute("status", "/bin/sh", "-c", "exit 7")).status).toBe(7);
  });

  test("starts anew on the base each time", async () => {
    lxc.container("anew");
    expect((await lxc.execute("anew", "/bin/touch", "/etc/made")).status).toBe(0);
    expect((await lxc.execute("anew", "/bin/test", "-e", "/etc/made")).status).toBe(1);
  });

  test("has a read-only root when lxc.rootfs.options says so", async () => {
    lxc.container("readonly", { lines: ["lxc.rootfs.options = ro"] });
    const outcome = await lxc.execute("readonly", "/bin/sh", "-c", "cat /etc/os-release; touch /etc/made");
    expect(outcome.status).toBe(1);
    expect(outcome.stdout).toBe("ID=veneer-test");
    expect(outcome.stderr).toContain("Read-only file system");
  });

  test("mounts lxc.mount.entry on files and directories that the base has or lacks", async () => {
    writeFileSync(join(host.dir, "hosts"), "from the host\n");
    const entry = (from: string, to: string, options: string) =>
      `lxc.mount.entry = ${from} ${to} none bind,${options} 0 0`;
    lxc.container("entries", {
      lines: [
        entry(join(host.dir, "hosts"), "etc/passwd", "ro"),
        entry(join(host.dir, "hosts"), "srv/new/hosts", "create=file"),
        entry(PROJECT, "home", "ro"),
        entry(PROJECT, "srv/project", "create=dir"),
      ],
    });
    const script =
      "cat /etc/passwd /srv/new/hosts; test -e /home/package.json && test -e /srv/project/package.json";
    const outcome = await lxc.execute("entries", "/bin/sh", "-c", script);
    expect(outcome).toMatchObject({ status: 0, stdout: "from the host\nfrom the host" });
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("takes a root directory with a colon, a comma, a space and letters that are not ASCII", async () => {
    lxc.container("paths");
    const odd = join(host.dir, "ö a:b,c\\d 'e'");
    mkdirSync(odd);
    lxc.container("paths", { lines: [`lxc.rootfs.path = dir:${odd}`] });
    const outcome = await lxc.execute("paths", "/bin/cat", "/etc/os-release");
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
  });

  test("takes a configuration file that is given to the call, in two lxcpaths at once", async () => {
    lxc.container("file");
    const paths = ["path-a", "path-b"].map((name) => join(host.dir, name));
    const outcomes = await Promise.all(
      paths.map(async (path) => {
        mkdirSync(path);
        const config = join(path, "given.conf");
        await must("cp", [join(lxc.path, "file/config"), config]);
        const command = ["/bin/sh", "-c", "sleep 0.3; cat /etc/os-release"];
        return sh("lxc-execute", ["-P", path, "-n", "file", "-f", config, "--", ...command]);
      }),
    );
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("keeps containers on one base apart", async () => {
    const names = ["many1", "many2", "many3", "many4"];
    for (const name of names) lxc.container(name);
    const script = (name: string) => `echo ${name} >/etc/own; sleep 0.3; cat /etc/own; ls /tmp`;
    const outcomes = await Promise.all(names.map((name) => lxc.execute(name, "/bin/sh", "-c", script(name))));
    expect(outcomes.map(({ stdout }) => stdout)).toEqual(names);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });
});

describe("lxc-start -d", () => {
  const lines = ["lxc.init.cmd = /bin/sleep 1000"];

  test("runs, is attached to and stopped, and leaves nothing", async () => {
    lxc.container("web", { lines });
    const before = mountinfo();
    expect(await lxc.tool("start", "web", "-d")).toMatchObject({ status: 0 });
    expect(mountinfo()).toBe(before);
    const script = "echo x >/etc/x; cat /etc/x; ls /tmp";
    const attached = await lxc.tool("attach", "web", "--", "/bin/sh", "-c", script);
    expect(attached).toMatchObject({ status: 0, stdout: "x" });
    expect(leftovers(host)).toHaveLength(2);
    expect(await lxc.tool("stop", "web", "-k")).toMatchObject({ status: 0 });
    await nothingIsLeft();
    expect(mountinfo()).toBe(before);
  });

  test("records the container's first process", async () => {
    lxc.container("first", { lines });
    await lxc.tool("start", "first", "-d");
    const { stdout: pid } = await lxc.tool("info", "first", "-pH");
    const record = JSON.parse(readFileSync(leftovers(host)[0] as string, "utf8"));
    expect(record).toMatchObject({ engine: "lxc", container: "first", process: { pid: Number(pid) } });
    await lxc.tool("stop", "first", "-k");
    await nothingIsLeft();
  });

  test("is started by lxc-autostart", async () => {
    lxc.container("auto", { lines: [...lines, "lxc.start.auto = 1"] });
    const autostart = (...args: string[]) => sh("lxc-autostart", ["-P", lxc.path, ...args]);
    expect(await autostart()).toMatchObject({ status: 0 });
    const attached = await lxc.tool("attach", "auto", "--", "/bin/cat", "/etc/os-release");
    expect(attached).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    expect(await autostart("--kill")).toMatchObject({ status: 0 });
    await nothingIsLeft();
  });

  test("mounts nothing on a host whose / is a shared mount", async () => {
    lxc.container("shared", { lines });
    const script = `
      mount --make-rshared /
      cat /proc/self/mountinfo >before
      lxc-start -P ${lxc.path} -n shared -d || exit 9
      cat /proc/self/mountinfo >during
      lxc-attach -P ${lxc.path} -n shared -- /bin/cat /etc/os-release
      lxc-stop -P ${lxc.path} -n shared -k
      cat /proc/self/mountinfo >after
      grep -q shared: before && cmp before during && cmp before after`;
    const args = ["-m", "--propagation", "private", "sh", "-c", script];
    const outcome = await sh("unshare", args, { cwd: host.dir, env: { PATH: host.path } });
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    await nothingIsLeft();
  });

  test("comes up again on a fresh upper after a reboot from inside", async () => {
    const data = join(host.dir, "reboot-data");
    mkdirSync(data);
    writeFileSync(
      join(data, "init"),
      "if test -e /data/second; then touch /data/done; exec sleep 1000; fi\ntouch /data/second /etc/made\nreboot -f\n",
    );
    lxc.container("reboot", {
      lines: [`lxc.mount.entry = ${data} data none bind,create=dir 0 0`, "lxc.init.cmd = /bin/sh /data/init"],
    });
    await lxc.tool("start", "reboot", "-d");
    await eventually(() => (existsSync(join(data, "done")) ? true : undefined));
    const made = await lxc.tool("attach", "reboot", "--", "/bin/test", "-e", "/etc/made");
    expect(made.status).toBe(1);
    expect(leftovers(host)).toHaveLength(2);
    await lxc.tool("stop", "reboot", "-k");
    await nothingIsLeft();
  });
});

describe("veneer.conf", () => {
  /** The include file as install-local leaves it. */
  function include(): string {
    const text = readFileSync(join(PROJECT, "hooks/lxc/veneer.conf"), "utf8");
    const file = join(host.dir, "veneer.conf");
    writeFileSync(file, text.replaceAll("@PREFIX@/bin", host.bin));
    return `lxc.include = ${file}`;
  }

  test("gives the root that lxc.environment names", async () => {
    lxc.container("include", { only: [include(), "lxc.environment = VENEER_BASE=b"] });
    const outcome = await lxc.execute("include", "/bin/cat", "/etc/os-release");
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  test("takes the last value, from included files too", async () => {
    const more = join(host.dir, "more.d");
    mkdirSync(more);
    writeFileSync(
      join(more, "a.conf"),
      "lxc.environment = VENEER_BASE=b\nlxc.environment=VENEER_OPAQUE=/etc\n",
    );
    writeFileSync(join(more, "ignored"), "lxc.environment = VENEER_BASE=nor-this\n");
    const only = [include(), "lxc.environment = VENEER_BASE=not-this", `lxc.include = ${more}/`];
    lxc.container("included", { only });
    const outcome = await lxc.execute("included", "/bin/ls", "-A", "/etc");
    expect(outcome).toMatchObject({ status: 0, stdout: "" });
  });

  test("leaves a container alone that names no base", async () => {
    const rootfs = lxc.container("alone", { only: [include()] });
    await must("cp", ["-a", `${join(host.dir, "tree-b")}/.`, rootfs]);
    const outcome = await lxc.execute("alone", "/bin/sh", "-c", "cat /tmp/of-the-base; touch /etc/made");
    expect(outcome).toMatchObject({ status: 0, stdout: "not for containers" });
    expect(existsSync(join(rootfs, "etc/made"))).toBe(true);
  });
});
