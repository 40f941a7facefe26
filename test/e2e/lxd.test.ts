import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { type Host, makeHost, must, sh } from "../helpers/host.ts";
import { hasKind, KINDS, type Lxd, startLxd, whyNoContainers } from "../helpers/lxd.ts";
import { grantIds } from "../helpers/userns.ts";
import { waitFor } from "../helpers/wait.ts";

const there = KINDS.filter(hasKind);
// one of them is enough for CI: no Debian has both
const tested = there.length > 0 || process.env.CI === undefined ? there : KINDS;
for (const kind of KINDS.filter((one) => !tested.includes(one))) {
  test.skip(`${kind.name} is not installed (${kind.from})`, () => {});
}

describe.each(tested)("$name", (kind) => {
  let host: Host;
  let lxd: Lxd;
  /** The recipes of docs/lxd.md. */
  const unprivileged = (options: string) => {
    const veneer = join(host.bin, "veneer");
    return [
      "lxc.rootfs.options =",
      `lxc.hook.pre-start = ${veneer} hook lxc ${options}`,
      `lxc.hook.start-host = ${veneer} hook lxc`,
      `lxc.hook.post-stop = ${veneer} hook lxc`,
      "lxc.init.cmd = /bin/sleep 1000",
    ].join("\n");
  };
  const recipe = (options: string) => {
    const veneer = join(host.bin, "veneer");
    return [
      `lxc.hook.pre-mount = ${veneer} hook lxc ${options}`,
      `lxc.hook.post-stop = ${veneer} hook lxc`,
      "lxc.init.cmd = /bin/sleep 1000",
    ].join("\n");
  };
  const init = (name: string, options: string, ...config: string[]) =>
    lxd.ok(
      "init",
      "empty",
      name,
      "-c",
      `raw.lxc=${recipe(options)}`,
      ...config.flatMap((one) => ["-c", one]),
    );

  let revoke: () => Promise<unknown>;
  let whyNot: string | undefined;

  beforeAll(async () => {
    host = makeHost();
    makeBase(host, "b");
    // for the root of a user namespace
    chmodSync(host.dir, 0o711);
    revoke = await grantIds(host, 200_000, 400_000);
    lxd = await startLxd(kind, host);
    whyNot = await whyNoContainers(kind, host, lxd);
  });
  beforeEach((context) => {
    if (whyNot !== undefined) context.skip(whyNot);
  });
  afterAll(async () => {
    await lxd?.stop();
    await revoke?.();
    await host?.remove();
  });

  test("starts a privileged container on the base, anew each time", async () => {
    const before = readFileSync("/proc/self/mountinfo", "utf8");
    await init("fresh", "--base b", "security.privileged=true");
    await lxd.ok("start", "fresh");
    expect(await lxd.ok("exec", "fresh", "--", "/bin/cat", "/etc/os-release")).toBe("ID=veneer-test");
    await lxd.ok("exec", "fresh", "--", "/bin/touch", "/etc/made");
    const [shown] = JSON.parse(await host.ok("ps", "--json"));
    expect(shown).toMatchObject({ container: "fresh", engine: "lxc", base: "b", version: 1 });
    await lxd.ok("restart", "-f", "fresh");
    expect((await lxd.client("exec", "fresh", "--", "/bin/test", "-e", "/etc/made")).status).toBe(1);
    await lxd.ok("stop", "-f", "fresh");
    await waitFor(() => leftovers(host).length === 0);
    const rootfs = join(host.dir, kind.name.toLowerCase(), "storage-pools/default/containers/fresh/rootfs");
    expect(readdirSync(rootfs)).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
  });

  test("keeps the writes of a persistent one, and leaves them after lxc delete", async () => {
    await init("keeps", "--base b --persistent", "security.privileged=true");
    await lxd.ok("start", "keeps");
    await lxd.ok("exec", "keeps", "--", "/bin/sh", "-c", "echo kept >/etc/made");
    await lxd.ok("stop", "-f", "keeps");
    await waitFor(() => leftovers(host).length === 0);
    expect(await host.ok("diff", "keeps")).toContain("A /etc/made");
    await lxd.ok("start", "keeps");
    expect(await lxd.ok("exec", "keeps", "--", "/bin/cat", "/etc/made")).toBe("kept");
    await lxd.ok("delete", "-f", "keeps");
    await waitFor(() => leftovers(host).length === 0);
    expect(existsSync(join(host.root, "instances/keeps/1/upper/etc/made"))).toBe(true);
  });

  test("takes the recipe from a profile", async () => {
    await lxd.ok("profile", "create", "veneer");
    await lxd.ok("profile", "set", "veneer", "security.privileged", "true");
    await lxd.ok("profile", "set", "veneer", "raw.lxc", recipe("--base b"));
    await lxd.ok("launch", "empty", "profiled", "-p", "default", "-p", "veneer");
    expect(await lxd.ok("exec", "profiled", "--", "/bin/cat", "/etc/os-release")).toBe("ID=veneer-test");
    await lxd.ok("delete", "-f", "profiled");
    await waitFor(() => leftovers(host).length === 0);
  });

  describe("setup", () => {
    const veneer = () => join(host.bin, "veneer");
    const made = [kind.name.toLowerCase(), "made"];
    const setup = (...options: string[]) => sh(veneer(), ["setup", ...made, ...options], { env: lxd.env });
    const unsetup = () => must(veneer(), ["unsetup", ...made], { env: lxd.env });
    beforeAll(async () => {
      await host.ok("base", "new", "i", "--from", "b");
      const init =
        "mkdir -p /sbin && printf '#!/bin/sh\\nexec sleep 1000\\n' >/sbin/init && chmod 755 /sbin/init";
      await host.ok("base", "edit", "i", "--", "sh", "-c", init);
    });
    afterEach(async () => {
      const names = (await lxd.ok("list", "--format", "csv", "-c", "n")).split("\n");
      for (const name of names.filter((one) => /^(first|second|by-profile)/.test(one)))
        await lxd.ok("delete", "-f", name);
      await lxd.client("profile", "delete", "made");
    });
    const raw = () => lxd.ok("profile", "get", "made", "raw.lxc");

    test("makes a profile for containers of both kinds, and takes it back", async () => {
      const dry = await setup("--base", "i", "--dry-run");
      expect(dry).toMatchObject({ status: 0, stdout: expect.stringContaining("+lxc.hook.pre-start = ") });
      expect(await lxd.ok("profile", "list", "--format", "csv")).not.toContain("made");
      expect(await setup("--base", "i")).toMatchObject({ status: 0, stdout: "/1.0/profiles/made" });
      expect(await setup("--base", "i")).toMatchObject({
        status: 0,
        stdout: "",
        stderr: expect.stringContaining("is set up already"),
      });
      for (const privileged of ["true", "false"]) {
        const name = `by-profile-${privileged}`;
        const options = ["-c", `security.privileged=${privileged}`];
        await lxd.ok("init", "empty", name, "-p", "default", "-p", "made", ...options);
        await lxd.ok("start", name);
        const seen = "cat /etc/os-release; touch /etc/own; awk '{print $2}' /proc/self/uid_map";
        const shown = await lxd.ok("exec", name, "--", "/bin/sh", "-c", seen);
        expect(shown).toMatch(privileged === "true" ? /^ID=veneer-test\n0$/ : /^ID=veneer-test\n[1-9]/);
        await lxd.ok("delete", "-f", name);
      }
      await waitFor(() => leftovers(host).length === 0);
      await unsetup();
      expect(await lxd.ok("profile", "list", "--format", "csv")).not.toContain("made");
    });

    test("leaves the other lines of a profile as they are", async () => {
      const own = "lxc.mount.auto = sys:ro\n# of mine";
      await lxd.ok("profile", "create", "made");
      await lxd.ok("profile", "set", "made", "raw.lxc", own);
      await setup("--base", "i");
      expect(await raw()).toMatch(/^lxc\.mount\.auto = sys:ro\n# of mine\nlxc\.rootfs\.options =/);
      await unsetup();
      expect(await raw()).toBe(own);
      await setup("--base", "i");
      await lxd.ok("profile", "set", "made", "raw.lxc", `${await raw()}\nlxc.signal.halt = SIGTERM`);
      await unsetup();
      expect((await raw()).replace(/\n+/g, "\n")).toBe(`${own}\nlxc.signal.halt = SIGTERM`);
      await lxd.ok("profile", "delete", "made");
    });

    test("keeps the writes of each container, and refuses a copy until it has an instance", async () => {
      await setup("--base", "i", "--persistent");
      await lxd.ok("init", "empty", "first", "-p", "default", "-p", "made");
      await lxd.ok("start", "first");
      await lxd.ok("exec", "first", "--", "/bin/sh", "-c", "echo kept >/etc/made");
      await lxd.ok("restart", "-f", "first");
      expect(await lxd.ok("exec", "first", "--", "/bin/cat", "/etc/made")).toBe("kept");
      await lxd.ok("stop", "-f", "first");
      await waitFor(() => leftovers(host).length === 0);
      await lxd.ok("copy", "first", "second");
      expect((await lxd.client("start", "second")).status).not.toBe(0);
      const log = await lxd.log("second");
      expect(log).toContain("container second is a copy of first, but not what that wrote");
      expect(log).toContain("'veneer clone first second'");
      await host.ok("clone", "first", "second");
      await waitFor(async () => (await lxd.client("start", "second")).status === 0);
      expect(await lxd.ok("exec", "second", "--", "/bin/cat", "/etc/made")).toBe("kept");
      for (const name of ["first", "second"]) await lxd.ok("delete", "-f", name);
      await waitFor(() => leftovers(host).length === 0);
      await unsetup();
    });

    test("says what is missing, and changes nothing", async () => {
      expect(await setup()).toMatchObject({ status: 2, stderr: expect.stringContaining("add --base BASE") });
      expect(await setup("--base", "none")).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("no base none"),
      });
      expect(await setup("--base", "i", "--instance", "x")).toMatchObject({
        status: 2,
        stderr: expect.stringContaining("--persistent gives each an instance"),
      });
      expect(await lxd.ok("profile", "list", "--format", "csv")).not.toContain("made");
    });
  });

  test("starts an unprivileged container on the same base, and keeps its writes with plain ids", async () => {
    const raw = `raw.lxc=${unprivileged("--base b --persistent --instance mapped")}`;
    await lxd.ok("init", "empty", "mapped", "-c", raw);
    await lxd.ok("start", "mapped");
    const show = "awk '{print $1, $2}' /proc/self/uid_map; stat -c %u / /etc/os-release; touch /own";
    expect(await lxd.ok("exec", "mapped", "--", "/bin/sh", "-c", show)).toMatch(/^ *0 [1-9][0-9]*\n0\n0$/);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("veneer:");
    await host.ok("gc");
    await lxd.ok("restart", "-f", "mapped");
    expect(await lxd.ok("exec", "mapped", "--", "/bin/stat", "-c", "%u", "/own")).toBe("0");
    await lxd.ok("delete", "-f", "mapped");
    await waitFor(() => leftovers(host).length === 0);
    expect(statSync(join(host.root, "instances/mapped/1/upper/own")).uid).toBe(0);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("veneer:");
  });

  test("refuses an unprivileged container with the hooks of a privileged one and says what to set", async () => {
    await init("unprivileged", "--base b");
    const outcome = await lxd.client("start", "unprivileged");
    expect(outcome.status).not.toBe(0);
    const log = await lxd.log("unprivileged");
    expect(log).toMatch(
      /ERROR +veneer - .*container unprivileged (has lxc\.rootfs\.options = |is unprivileged)/,
    );
    expect(log).toContain("hint: ");
    expect(log).toContain(`'${kind.client} config set NAME security.privileged=true'`);
    await expect.poll(() => leftovers(host)).toEqual([]);
    // LXD is still at its end
    const privileged = () => lxd.client("config", "set", "unprivileged", "security.privileged=true");
    await waitFor(async () => (await privileged()).status === 0);
    await lxd.ok("start", "unprivileged");
    expect(await lxd.ok("exec", "unprivileged", "--", "/bin/true")).toBe("");
    await lxd.ok("stop", "-f", "unprivileged");
    await waitFor(() => leftovers(host).length === 0);
  });
});
