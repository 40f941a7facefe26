/** How long a container stands still is bounded, whatever it has open, mounted and running. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileFixture, makeHost, sh } from "../helpers/host.ts";
import { begin, plantVersions, type Running, waitUntilReady } from "../helpers/live.ts";

const host = makeHost("/srv");
const programs = join(host.dir, "programs");

beforeAll(async () => {
  plantVersions(host);
  mkdirSync(programs);
  await compileFixture("crowd", join(programs, "crowd"));
});
afterAll(() => host.remove());

/** A container with a crowd of mounts, open files or processes. */
async function crowded(what: string, count: number, instance = what): Promise<Running> {
  const command = `exec /programs/crowd ${what} ${count} >/started 2>&1`;
  const container = await begin(host, "runc wrapped", command, instance, (config) => {
    config.mounts.push({ destination: "/programs", type: "bind", source: programs, options: ["bind", "ro"] });
  });
  await waitUntilReady(container);
  return container;
}

describe.each([
  ["mounts", 1500],
  ["files", 3000],
  ["processes", 300],
] as const)("a container with a crowd of %s", (what, count) => {
  let container: Running;
  beforeAll(async () => {
    container = await crowded(what, count);
  });

  it("is refused beforehand where it would stand still for too long, and nothing is changed", async () => {
    const before = container.mounts();
    const refused = await host.veneer("rebase", what, "b@2", "--pause-limit", "1");
    expect(refused).toMatchObject({ status: 1, stdout: "" });
    expect(refused.stderr).toMatch(/may be paused for 1 ms, and its rebase (would take|took)/);
    expect(container.mounts()).toEqual(before);
    expect(await container.exec("cat /etc/version")).toBe("1");
  });

  it("is moved where that is allowed", async () => {
    await host.ok("rebase", what, "b@2", "--pause-limit", "60000");
    expect(await container.exec("cat /etc/version")).toBe("2");
    await container.stop();
  });
});

describe("a container with more mounts than whoever moves them may open files", () => {
  let container: Running;
  beforeAll(async () => {
    container = await crowded("mounts", 1500, "limited");
  });
  const limited = (hard: number, ...wrap: string[]) =>
    sh("prlimit", [`--nofile=1000:${hard}`, ...wrap, join(host.bin, "veneer"), "rebase", "limited", "b@2"], {
      env: { PATH: host.path },
    });

  it("is refused beforehand where the limit holds, and nothing is changed", async () => {
    const before = container.mounts();
    const refused = await limited(1000, "setpriv", "--bounding-set=-sys_resource");
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/1\d\d\d mounts to move.* \[OPEN_LIMIT\]$/),
    });
    expect(container.mounts()).toEqual(before);
  });

  it("is moved where it can be raised", async () => {
    expect(await limited(2500)).toMatchObject({ status: 0 });
    expect(await container.exec("cat /etc/version")).toBe("2");
    await container.stop();
  });
});

it.each(["0", "-1", "x", "1s"])("--pause-limit %s is refused", async (limit) => {
  expect(await host.veneer("rebase", "mounts", "b@1", "--pause-limit", limit)).toMatchObject({ status: 2 });
});
