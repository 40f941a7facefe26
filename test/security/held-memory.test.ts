/** A process whose memory is locked for ever: reading its command line, environment or memory map waits without end. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { compileFixture, makeHost, must, sh } from "../helpers/host.ts";
import { begin, plantVersions, type Running, waitUntilReady } from "../helpers/live.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost("/srv");
let container: Running;

beforeAll(async () => {
  plantVersions(host);
  const programs = join(host.dir, "programs");
  mkdirSync(programs);
  await compileFixture("held-memory", join(programs, "held-memory"));
  const command = "mknod /dev/fuse c 10 229; exec /programs/held-memory /held >/started 2>&1";
  container = await begin(host, "runc wrapped", command, "held", (config) => {
    config.mounts.push({ destination: "/programs", type: "bind", source: programs, options: ["bind", "ro"] });
    config.linux.resources = { devices: [{ allow: true, access: "rwm" }] };
    const all = ["CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_DAC_OVERRIDE"];
    config.process.capabilities = { bounding: all, effective: all, permitted: all };
  });
  await waitUntilReady(container);
});
afterAll(() => host.remove());

/** A hung one would never end. */
const within = (seconds: number, ...args: string[]) =>
  sh("timeout", ["-s", "KILL", String(seconds), join(host.bin, "veneer"), ...args], {
    env: { PATH: host.path },
  });

it("the process is what it says: whoever reads its command line waits", async () => {
  const [child] = (await must("cat", [`/proc/${container.pid}/task/${container.pid}/children`]))
    .trim()
    .split(" ");
  // the process maps the file right after it has written: the server says that it is ready when it gets that
  await expect
    .poll(async () => (await sh("timeout", ["-s", "KILL", "1", "cat", `/proc/${child}/cmdline`])).status, {
      timeout: 30_000,
    })
    .not.toBe(0);
});

it.each([
  [["ps"], 0],
  [["ls"], 0],
  [["inspect", "held"], 0],
  [["gc"], 0],
  [["df"], 0],
  [["ps", "--stale"], 0],
  [["rebase", "held", "b@2"], 1],
] as const)("veneer %s ends beside it", async (words, status) => {
  const done = await within(60, ...words);
  expect(done, words.join(" ")).toMatchObject({ status });
  if (status !== 0) expect(done.stderr).toContain("cannot be inspected");
});

it("who publishes a version of the base does not wait for a rebase that waits for it", async () => {
  const ended: string[] = [];
  const rebase = within(60, "rebase", "held", "b@2").then((outcome) => {
    ended.push("rebase");
    return outcome;
  });
  // the rebase has the instance, and waits for the process
  const changing = async () => (await within(60, "rebase", "held", "b@1")).stderr.includes("being changed");
  await waitFor(async () => ended.length > 0 || (await changing()));
  expect(await within(60, "base", "use", "b@1")).toMatchObject({ status: 0 });
  expect(await within(60, "base", "new", "other", "--from", "b@2")).toMatchObject({ status: 0 });
  expect(await within(60, "base", "rm", "other")).toMatchObject({ status: 0 });
  ended.push("base");
  expect(await rebase).toMatchObject({ status: 1 });
  expect(ended).toEqual(["base", "rebase"]);
});

it("another container of the base is rebased", async () => {
  const other = await begin(host, "runc wrapped", "exec sleep 1000", "other");
  expect(await within(60, "rebase", "other", "b@2")).toMatchObject({ status: 0 });
  expect(await other.exec("cat /etc/version")).toBe("2");
  await other.stop();
});

it("the container goes on, on its version, and ends with its server", async () => {
  expect(await container.exec("cat /etc/version")).toBe("1");
  await container.stop();
});
