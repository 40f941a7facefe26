import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { PROJECT, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
const tree = join(host.dir, "tree");
let bundle = "";
let count = 0;
beforeAll(() => {
  makeTree(tree);
  plantBase(host, "tree", tree);
});
beforeEach(() => {
  bundle = join(host.dir, `bun:dle ${++count}`);
});

/** Plain runtimes, and the wrapping ones with this host's store. */
const RUNTIMES: Record<string, string[]> = {
  runc: ["runc"],
  crun: ["crun"],
  "veneer-runc": [join(PROJECT, "dist/veneer-runc"), "--veneer-store", host.root, host.run, ""],
  "veneer-crun": [join(PROJECT, "dist/veneer-crun"), "--veneer-store", host.root, host.run, ""],
};

const start = (runtime: string, cwd?: string) => {
  const words = [...(RUNTIMES[runtime] as string[]), "--root", join(host.dir, `state-${runtime}`)];
  const place = cwd === undefined ? ["--bundle", bundle] : [];
  return sh("env", [...words, "run", ...place, `b${count}`], {
    env: { PATH: host.path },
    ...(cwd !== undefined && { cwd }),
  });
};

describe.each(Object.keys(RUNTIMES))("a bundle with %s", (runtime) => {
  it("has the base as its root, once", async () => {
    const text = "cat /etc/os-release; ls /tmp; grep -c ' - overlay veneer:' /proc/self/mountinfo; exit 4";
    expect(await host.ok("bundle", "tree", bundle, "--", "sh", "-c", text)).toBe(bundle);
    const outcome = await start(runtime);
    expect(outcome).toMatchObject({ status: 4, stdout: "ID=veneer-test\n1" });
    // a runtime that mounts before its hooks makes the mount points there, and nothing else
    expect(existsSync(join(bundle, "rootfs/bin"))).toBe(false);
  });

  it("keeps the writes of a named instance, with the bundle as working directory too", async () => {
    const words = ["--name", `kept-${runtime}`, "--", "sh", "-c", "echo x >>/x; cat /x"];
    await host.ok("bundle", "tree", bundle, ...words);
    expect((await start(runtime)).stdout).toBe("x");
    expect((await start(runtime, bundle)).stdout).toBe("x\nx");
    await host.ok("rm", `kept-${runtime}`);
  });
});

describe("bundle", () => {
  it("writes into an empty directory, and nowhere else", async () => {
    mkdirSync(bundle);
    await host.ok("bundle", "tree", bundle);
    const before = readFileSync(join(bundle, "config.json"), "utf8");
    const again = await host.veneer("bundle", "tree", bundle);
    expect(again).toMatchObject({ status: 1 });
    expect(again.stderr).toContain("not an empty directory");
    expect(readFileSync(join(bundle, "config.json"), "utf8")).toBe(before);
    writeFileSync(join(host.dir, "file"), "");
    expect((await host.veneer("bundle", "tree", join(host.dir, "file"))).status).toBe(1);
  });

  it("gives hooks an environment of their own and absolute paths", async () => {
    await host.ok("bundle", "tree", bundle);
    const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
    expect(config.annotations).toEqual({ "run.veneer.base": "tree" });
    for (const stage of ["createRuntime", "poststop"]) {
      expect(config.hooks[stage]).toHaveLength(1);
      expect(config.hooks[stage][0].env).toEqual(["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
      expect(config.hooks[stage][0].path).toMatch(/^\//);
    }
  });

  it.each([
    [["bundle", "tree"], 2, "needs DIR"],
    [["bundle", "none", "/tmp/never-made"], 1, "no base none"],
    [["bundle", "tree", "/nowhere/at/all"], 1, "ENOENT"],
    [["bundle", "tree", "/tmp/never-made", "--rm"], 2, "unknown option"],
  ])("refuses %j", async (args, status, message) => {
    const outcome = await host.veneer(...args);
    expect(outcome.stderr).toContain(message);
    expect(outcome.status).toBe(status);
    expect(existsSync("/tmp/never-made")).toBe(false);
  });
});
