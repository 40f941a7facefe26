/** `veneer hook oci` with runtimes that pivot into a root that they opened before their hooks, as runc does. */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeAll, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeBundle, nextId } from "../helpers/bundle.ts";
import { must, PROGRAM, PROJECT, sh, storeOptions } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
const log = join(host.dir, "log");
const children: ChildProcess[] = [];

beforeAll(() => {
  makeBase(host, "b");
  writeFileSync(join(host.dir, "config.json"), JSON.stringify({ log, logFormat: "json" }));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

interface Init {
  /** that the hook's state names */
  readonly pid: number;
  readonly bundle: string;
  /** lets it go on after its hooks */
  goOn(): void;
  /** the next line that it writes; undefined when it has ended */
  line(): Promise<string | undefined>;
  /** resolves to its exit status, or the name of the signal that ended it */
  readonly end: Promise<number | string>;
}

/** An init that holds its root open, in a mount namespace of its own, before its hooks. `before`: words that start it. */
async function init(how: string, before: readonly string[] = []): Promise<Init> {
  const bundle = makeBundle(join(host.dir, nextId()), "true");
  const root = join(bundle, "rootfs");
  mkdirSync(`${root}-other`);
  // what it would start on, were it not given the base
  for (const tree of [root, `${root}-other`]) {
    for (const name of ["bin", "etc", "proc"]) mkdirSync(join(tree, name));
    for (const name of ["sh", "cat"]) copyFileSync("/bin/busybox", join(tree, "bin", name));
    writeFileSync(join(tree, "etc/os-release"), "the image\n");
  }
  const script = join(PROJECT, "test/fixtures/held-root.py");
  const words = [...before, "unshare", "--mount", "/usr/bin/python3", script, root, how];
  const child = spawn(words[0] as string, words.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  const end = new Promise<number | string>((resolve) =>
    child.once("exit", (status, signal) => resolve(signal ?? (status as number))),
  );
  const output = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await output.next();
    return done ? undefined : value;
  };
  const [word, pid] = (await line())?.split(" ") ?? [];
  expect(word).toBe("ready");
  return { pid: Number(pid), bundle, goOn: () => child.stdin.write("\n"), line, end };
}

async function hook({ pid, bundle }: Init) {
  const state = { ociVersion: "1.0.2", id: nextId(), status: "creating", pid, bundle };
  const store = [...storeOptions(host), "--config", join(host.dir, "config.json")];
  return await sh(PROGRAM, [...store, "hook", "oci", "--base", "b"], { input: JSON.stringify(state) });
}

/** Who follows a process (proc_pid_status(5)): 0 for nobody. */
function followerOf(pid: number): number {
  return Number(/^TracerPid:\s*([0-9]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** for a busy machine */
const PATIENT = { timeout: 60_000 };

const DONE = { status: 0, stdout: "", stderr: "" };

it.each([
  ["pivots through a descriptor", "pivot"],
  ["pivots from its working directory", "working-directory"],
  ["moves the root and enters it by chroot (--no-pivot)", "no-pivot"],
])("a runtime that %s gets the base", async (_what, how) => {
  const container = await init(how);
  expect(await hook(container)).toEqual(DONE);
  expect(followerOf(container.pid)).not.toBe(0);
  container.goOn();
  expect(await container.line()).toBe("ID=veneer-test");
  expect(followerOf(container.pid)).toBe(0);
  const mounts = readFileSync(`/proc/${container.pid}/mountinfo`, "utf8").trim().split("\n");
  expect(mounts).toHaveLength(1);
  expect(mounts[0]).toContain("- overlay veneer:");
});

it("is stopped and continued by others meanwhile", async () => {
  const container = await init("stop");
  expect(await hook(container)).toEqual(DONE);
  container.goOn();
  expect(await container.line()).toBe("stopping");
  // one that comes before the stop is lost
  const again = setInterval(() => process.kill(container.pid, "SIGCONT"), 20);
  try {
    expect(await container.line()).toBe("ID=veneer-test");
  } finally {
    clearInterval(again);
  }
});

it("gets the base when the hook stands at two stages", async () => {
  const container = await init("pivot");
  expect(await hook(container)).toEqual(DONE);
  expect(await hook(container)).toEqual(DONE);
  container.goOn();
  expect(await container.line()).toBe("ID=veneer-test");
});

it("ends by itself, and so does what follows it", async () => {
  const container = await init("end");
  expect(await hook(container)).toEqual(DONE);
  const follower = followerOf(container.pid);
  container.goOn();
  expect(await container.end).toBe(0);
  await expect.poll(() => sh("test", ["-d", `/proc/${follower}`]), PATIENT).toMatchObject({ status: 1 });
});

it.each([
  ["executes a program before it pivots", "execute"],
  ["pivots into another root", "elsewhere"],
])("a runtime that %s is ended, and the log says why", async (_what, how) => {
  const container = await init(how);
  expect(await hook(container)).toEqual(DONE);
  container.goOn();
  expect(await container.end).toBe("SIGKILL");
  expect(await container.line()).toBeUndefined();
  const lastEntry = () => JSON.parse(readFileSync(log, "utf8").trim().split("\n").at(-1) ?? "{}");
  await expect.poll(lastEntry, PATIENT).toMatchObject({
    event: "error",
    engine: "oci",
    message: expect.stringMatching(/process [0-9]+ executed a program before .*; hint: .*veneer-runc/),
  });
});

it("ends with what follows it", async () => {
  const container = await init("pivot");
  expect(await hook(container)).toEqual(DONE);
  process.kill(followerOf(container.pid), "SIGKILL");
  expect(await container.end).toBe("SIGKILL");
});

it("is refused where another process follows it already, and nothing is left", async () => {
  const before = leftovers(host);
  const container = await init("pivot", ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=none"]);
  const outcome = await hook(container);
  expect(outcome).toMatchObject({ status: 1, stdout: "" });
  expect(outcome.stderr).toMatch(
    /^veneer: start .* opened the root before its hooks, and .* cannot be traced .*: EPERM.*; hint: use the wrapping runtime veneer-runc [^\n]*$/,
  );
  expect(leftovers(host)).toEqual(before);
  process.kill(container.pid, "SIGKILL");
});

it("holds no lock of the base and no descriptor of the hook's", async () => {
  const container = await init("pivot");
  expect(await hook(container)).toEqual(DONE);
  const open = await must("find", [
    `/proc/${followerOf(container.pid)}/fd`,
    "-type",
    "l",
    "-printf",
    "%l\\n",
  ]);
  expect(open).not.toContain(`${host.root}/`);
  container.goOn();
  expect(await container.line()).toBe("ID=veneer-test");
});
