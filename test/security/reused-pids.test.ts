/** A container's pid that another process of the host has now: nobody takes that process for the container. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { runtime } from "../helpers/bundle.ts";
import { makeHost, must, PROJECT } from "../helpers/host.ts";
import { begin, plantVersions, type Running } from "../helpers/live.ts";

const host = makeHost("/srv");
const LOOP = "while :; do sleep 0.1; done";
/** ends them */
const left: (() => void)[] = [];
beforeAll(() => plantVersions(host));
afterEach(() => {
  for (const end of left.splice(0)) end();
});
afterAll(() => host.remove());

const kept = (child: ChildProcess) => left.push(() => child.kill("SIGKILL"));
const stat = (pid: number) => readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /, "").split(" ");

/** Ends a container without its hooks, and gives its pid to a process of the host. */
async function reuse({ id, pid }: Running): Promise<void> {
  process.kill(pid, "SIGKILL");
  await expect
    .poll(async () => JSON.parse((await runtime(host, "runc", ["state", id])).stdout).status)
    .toBe("stopped");
  await must("rm", ["-rf", join(host.dir, "state", id)]);
  const words = [join(PROJECT, "test/fixtures/reuse-pid.py"), String(pid)];
  const child = spawn("python3", words, { stdio: ["ignore", "pipe", "inherit"] });
  const said = await new Promise((resolve) => {
    child.stdout.once("data", resolve);
    child.once("exit", (status) => resolve(`ended with ${status}`));
  });
  expect(String(said)).toBe("ready\n");
  left.push(() => process.kill(pid, "SIGKILL"));
  await expect.poll(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe("sleep\x001000\0");
}

const rows = async (instance: string) =>
  (JSON.parse(await host.ok("ps", "--json")) as { instance: string; pid: number }[]).filter(
    (row) => row.instance === instance,
  );

/** Its file; it names the pid. */
function recordOf(instance: string, pid: number): string {
  const dir = join(host.run, "records");
  const file = readdirSync(dir)
    .filter((name) => name.endsWith(".json"))
    .map((name) => join(dir, name))
    .find((path) => JSON.parse(readFileSync(path, "utf8")).instance === instance);
  expect(JSON.parse(readFileSync(file as string, "utf8"))).toMatchObject({ process: { pid } });
  return file as string;
}

it("keeps no record alive: ps, rebase, gc", async () => {
  const container = await begin(host, "runc with the hook", LOOP, "reused");
  const file = recordOf("reused", container.pid);
  await reuse(container);
  const since = stat(container.pid)[19];
  await expect.poll(() => rows("reused")).toEqual([]);
  await host.ok("rebase", "reused", "b@2");
  expect(JSON.parse(await host.ok("inspect", "reused", "--json"))).toMatchObject({
    state: "stopped",
    version: 2,
  });
  await host.ok("gc");
  expect(existsSync(file)).toBe(false);
  expect(stat(container.pid)[0]).toBe("S");
  expect(stat(container.pid)[19]).toBe(since);
  await host.ok("rm", "reused");
});

it("is not shown, moved or stopped where something else of the container lives on", async () => {
  const container = await begin(host, "runc with the hook", LOOP, "lives-on");
  const file = recordOf("lives-on", container.pid);
  // in the container's mount namespace, not in its pid namespace
  const words = [
    "-m",
    "-r",
    "-w",
    "-t",
    String(container.pid),
    "/bin/sh",
    "-c",
    "echo ready; exec sleep 1000",
  ];
  const other = spawn("nsenter", words, { stdio: ["ignore", "pipe", "inherit"] });
  kept(other);
  expect(String(await new Promise((resolve) => other.stdout.once("data", resolve)))).toBe("ready\n");
  await reuse(container);
  expect(await rows("lives-on")).toMatchObject([{ pid: other.pid }]);
  expect(JSON.parse(await host.ok("inspect", "lives-on", "--json"))).toMatchObject({
    state: "running",
    holder: { pid: other.pid },
  });
  await host.ok("gc");
  expect(existsSync(file)).toBe(true);
  const root = readFileSync(`/proc/${container.pid}/mountinfo`, "utf8");
  await host.veneer("rebase", "lives-on", "b@2");
  await host.veneer("clone", "lives-on", "copy");
  expect(readFileSync(`/proc/${container.pid}/mountinfo`, "utf8")).toBe(root);
  expect(stat(container.pid)[0]).toBe("S");
});
