/** `veneer hook precreate` as podman calls it: config.json on stdin, config.json on stdout. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { plantBase } from "../helpers/base.ts";
import { makeHost, PROGRAM, type RunOptions, sh, storeOptions } from "../helpers/host.ts";
import { ageTemporaries, leftovers } from "../helpers/leftovers.ts";
import { killAt } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const ID = "cd3864ce60436228a253327766e65be99e61db1c82e97e55fdef3e678b93b4f7";

/** What a Go program writes: no spaces, `<` escaped; and numbers that JavaScript cannot hold. */
function config(annotations: Record<string, string>): string {
  return `{"ociVersion":"1.0.2-dev","process":{"args":["a\\u003cb"],"cwd":"/","rlimits":[{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":18446744073709551615}]},"root":{"path":"/image/merged","readonly":true},"hooks":{"poststop":[{"path":"/bin/true"}]},"annotations":${JSON.stringify(annotations)},"linux":{"cgroupsPath":"/libpod_parent/libpod-${ID}","resources":{"memory":{"limit":-1}}},"x-new":{"root":{"path":"/not/this"}}}`;
}
const ON_BASE = config({ "run.veneer.base": "debian" });

/** As podman calls it: the caller is gone when the container is, so that nothing of the record lives. */
function precreate(input: string, options: RunOptions & { args?: string[] } = {}) {
  const args = [...storeOptions(host), "hook", "precreate", ...(options.args ?? [])];
  return sh("sh", ["-c", '"$@"; exit', "sh", PROGRAM, ...args], { input, ...options });
}

interface Changed {
  root: { path: string };
  hooks: { poststop: { path: string; args: string[]; env: string[]; timeout: number }[] };
}

function overlays(): string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const targets = mounts.filter((line) => line.includes(" - overlay ")).map((line) => line.split(" ")[4]);
  return targets.filter((target) => target?.startsWith(host.dir)) as string[];
}

/** The hook that precreate put into config.json, run as a runtime does. */
function poststop(changed: Changed, state: object = { ociVersion: "1.0.2", id: ID, status: "stopped" }) {
  const hook = changed.hooks.poststop.at(-1);
  if (!hook) throw new Error("no poststop hook");
  return sh("env", ["-i", ...hook.env, hook.path, ...hook.args.slice(1)], { input: JSON.stringify(state) });
}

beforeAll(() => plantBase(host, "debian", label(makeTree(join(host.dir, "base")), "base")));
afterAll(() => host.remove());
afterEach(async () => {
  await host.ok("gc");
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(overlays()).toEqual([]);
});

describe("a container that names a base", () => {
  it("gets another root and a poststop hook, and every other byte as it was", async () => {
    const { status, stdout, stderr } = await precreate(ON_BASE);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const changed = JSON.parse(stdout) as Changed;
    const target = changed.root.path;
    const hook = JSON.stringify(changed.hooks.poststop[1]);
    expect(stdout).toBe(
      ON_BASE.replace('"/image/merged"', JSON.stringify(target)).replace(
        '{"path":"/bin/true"}',
        (before) => `${before},${hook}`,
      ),
    );
    expect(changed.hooks.poststop[1]).toMatchObject({
      path: PROGRAM,
      env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    });
    expect(readFileSync(join(target, "etc/which"), "utf8")).toBe("base\n");
    expect(readdirSync(join(target, "tmp"))).toEqual([]);
    expect(overlays()).toEqual([target]);
    expect(await poststop(changed)).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(overlays()).toEqual([]);
    await expect.poll(() => leftovers(host)).toEqual([]);
    expect(await poststop(changed)).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  it("has a root of its own at each start, also beside another on the same root.path", async () => {
    const first = JSON.parse((await precreate(ON_BASE)).stdout) as Changed;
    const second = JSON.parse((await precreate(ON_BASE.replace(ID, `${"0".repeat(64)}`))).stdout) as Changed;
    expect(second.root.path).not.toBe(first.root.path);
    expect(overlays()).toHaveLength(2);
    await poststop(first);
    expect(overlays()).toEqual([second.root.path]);
    await poststop(second);
  });

  it("is not taken down by its poststop hook while it runs", async () => {
    const changed = JSON.parse((await precreate(ON_BASE)).stdout) as Changed;
    const { status, stderr } = await poststop(changed, { id: ID, status: "running", pid: process.pid });
    expect(status).toBe(2);
    expect(stderr).toContain("has not stopped");
    expect(overlays()).toEqual([changed.root.path]);
    await poststop(changed);
  });

  it("is put right at its next start when no runtime ran the poststop hook", async () => {
    const first = JSON.parse((await precreate(ON_BASE)).stdout) as Changed;
    const second = JSON.parse((await precreate(ON_BASE)).stdout) as Changed;
    expect(overlays()).toEqual([second.root.path]);
    expect(existsSync(first.root.path)).toBe(false);
    await poststop(second);
  });

  it("is put right at podman's own poststop, which has the container's state alone", async () => {
    await precreate(ON_BASE);
    const state = { ociVersion: "1.0.2", id: ID, status: "stopped", bundle: "/x", annotations: {} };
    expect(await precreate(JSON.stringify(state))).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(overlays()).toEqual([]);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  it("is left alone by gc while a container has it as its root, and reclaimed afterwards", async () => {
    const changed = JSON.parse((await precreate(ON_BASE)).stdout) as Changed;
    const script =
      'mount --rbind "$1" /mnt && cd /mnt && pivot_root . home && umount -l /home && echo in && cat';
    const container = spawn(
      "unshare",
      ["-m", "--propagation", "private", "sh", "-c", script, "sh", changed.root.path],
      {
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    await new Promise((resolve) => container.stdout.once("data", resolve));
    expect(await host.ok("gc")).toContain("nothing");
    expect(overlays()).toEqual([changed.root.path]);
    const ended = new Promise((resolve) => container.once("exit", resolve));
    container.stdin.end();
    await ended;
    expect(await host.ok("gc")).toContain("1 record");
    expect(overlays()).toEqual([]);
  });

  it("keeps a named upper, which nothing else can use meanwhile", async () => {
    const named = config({
      "run.veneer.base": "debian",
      "run.veneer.instance": "web1",
      "run.veneer.upper": "persistent",
    });
    const changed = JSON.parse((await precreate(named)).stdout) as Changed;
    execFileSync("sh", ["-c", 'echo mine >"$1/etc/mine"', "sh", changed.root.path]);
    await poststop(changed);
    const again = JSON.parse((await precreate(named.replaceAll(ID, "1".repeat(64)))).stdout) as Changed;
    expect(readFileSync(join(again.root.path, "etc/mine"), "utf8")).toBe("mine\n");
    await poststop(again);
    await host.ok("rm", "web1");
  });
});

describe("a container that names none", () => {
  it.each([
    ["JSON as podman writes it", config({ "io.container.manager": "libpod" })],
    ["other spacing and order", ' {\n "root" : { "path":"x" },\t"ociVersion":"1.0.2" }\n'],
    ["no annotations at all", '{"root":{"path":"/x"},"annotations":null}'],
  ])("is copied byte for byte: %s", async (_, text) => {
    const { status, stdout, stderr } = await sh(
      "sh",
      ["-c", `"$0" --root "$1" --run "$2" hook precreate; echo end`, PROGRAM, host.root, host.run],
      { input: text },
    );
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: `${text}end`, stderr: "" });
  });

  it("gets the base that the administrator names in the hook's arguments", async () => {
    const { stdout } = await precreate(config({}), { args: ["--base", "debian"] });
    const changed = JSON.parse(stdout) as Changed;
    expect(readFileSync(join(changed.root.path, "etc/which"), "utf8")).toBe("base\n");
    await poststop(changed);
  });
});

describe("a failure", () => {
  it.each([
    ["an unknown base", config({ "run.veneer.base": "nosuch" }), "no base nosuch", 1],
    ["a name that is none", config({ "run.veneer.base": "../x" }), "is not valid", 2],
    ["an unknown annotation", config({ "run.veneer.bse": "debian" }), "run.veneer.bse", 2],
    ["no JSON", "{", "is not JSON", 1],
    ["nothing", "", "is empty", 1],
    ["no root", '{"ociVersion":"1.0.2","annotations":{"run.veneer.base":"debian"}}', "root", 1],
    ["null", "null", "config.json on stdin", 1],
    [
      "a user namespace without a map for groups",
      ON_BASE.replace('"linux":{', '"linux":{"uidMappings":[{"containerID":0,"hostID":1,"size":1}],'),
      "gidMappings",
      1,
    ],
    [
      "a persistent upper that nobody names",
      config({ "run.veneer.base": "debian", "run.veneer.upper": "persistent" }).replace(ID, "x"),
      "run.veneer.instance",
      2,
    ],
  ])("writes one line, nothing to stdout, and leaves nothing: %s", async (_, text, reason, status) => {
    const outcome = await precreate(text);
    expect(outcome).toMatchObject({ status, stdout: "", stderr: expect.stringContaining(reason) });
    expect(outcome.stderr).toMatch(/^veneer: [^\n]*$/);
    await expect.poll(() => leftovers(host)).toEqual([]);
    expect(overlays()).toEqual([]);
  });

  it("leaves nothing when podman does not read the answer", async () => {
    const command = `"$0" --root "$1" --run "$2" hook precreate >/dev/full`;
    const outcome = await sh("sh", ["-c", command, PROGRAM, host.root, host.run], { input: ON_BASE });
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining("ENOSPC") });
    await expect.poll(() => leftovers(host)).toEqual([]);
    expect(overlays()).toEqual([]);
  });

  it.each(["mkdirat", "fsopen", "fsmount", "move_mount", "write:2"])(
    "leaves nothing but what gc takes, when killed at %s",
    async (place) => {
      const [call = "", when = "1"] = place.split(":");
      await sh(
        "strace",
        [...killAt({ call, when: Number(when) }), ...[PROGRAM, ...storeOptions(host), "hook", "precreate"]],
        { input: ON_BASE },
      );
      ageTemporaries(host);
      await host.ok("gc");
      await expect.poll(() => leftovers(host)).toEqual([]);
      expect(overlays()).toEqual([]);
    },
  );
});
