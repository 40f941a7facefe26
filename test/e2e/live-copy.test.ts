/** `clone --live` and `commit --live`: the changes of one moment of what goes on to write. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { nextId } from "../helpers/bundle.ts";
import { PROGRAM } from "../helpers/host.ts";
import { within } from "../helpers/instances.ts";
import { begin, plantVersions, type Running, WAYS } from "../helpers/live.ts";
import { makeLxc } from "../helpers/lxc.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";
import { waitFor } from "../helpers/wait.ts";

const host = useHost();
beforeAll(() => plantVersions(host));

/** Counts up in two files, one after the other: at every moment they hold the same number, or the first one more. */
const COUNT = "i=0; while :; do i=$((i+1)); echo $i >>a/count; echo $i >>z/count; done";
const FILES = 50;
const FILL = `mkdir a m z; for n in $(seq ${FILES}); do echo $n >m/$n; ln m/$n m/same-$n; done; rm etc/group;`;
const LOOP = `cd /; ${FILL} ${COUNT}`;

const last = (root: string, name: string) =>
  Number(
    readFileSync(join(root, name, "count"), "utf8")
      .trimEnd()
      .split("\n")
      .at(-1),
  );

async function waitForWrites(root: string): Promise<void> {
  await waitFor(() => existsSync(join(root, "z/count")) && last(root, "z") > 10, 180_000);
}

/** Goes on to write, which is nothing's to stop. */
async function expectAtWork(root: string): Promise<void> {
  const before = last(root, "z");
  await expect.poll(() => last(root, "z")).toBeGreaterThan(before);
}

function expectOneMoment(root: string): number {
  const [first, second] = [last(root, "a"), last(root, "z")];
  expect([0, 1]).toContain(first - second);
  expect(readdirSync(join(root, "m")).length).toBe(2 * FILES);
  for (const n of [1, FILES]) {
    expect(readFileSync(join(root, `m/${n}`), "utf8")).toBe(`${n}\n`);
    expect(statSync(join(root, `m/${n}`)).ino).toBe(statSync(join(root, `m/same-${n}`)).ino);
  }
  return second;
}

/** Of what runs as `id` with its root at `root`: it goes on, and its copies are of one moment each. */
async function expectCopies(id: string, root: string, base = "b"): Promise<void> {
  await waitForWrites(root);
  let before = 0;
  for (const copy of [nextId(), nextId()]) {
    const done = await host.veneer("clone", "--live", "--pause-limit", "60000", id, copy);
    expect(done).toMatchObject({ status: 0, stdout: copy });
    expect(done.stderr).toMatch(/ was paused for [0-9.]+ ms/);
    await within(host, copy, (tree) => {
      const count = expectOneMoment(tree);
      expect(count).toBeGreaterThanOrEqual(before);
      expect(existsSync(join(tree, "etc/group"))).toBe(false);
      expect(readFileSync(join(tree, "etc/version"), "utf8")).toBe("1\n");
      before = count;
    });
    await host.ok("rm", copy);
    await expectAtWork(root);
  }
  const made = nextId();
  const done = await host.veneer("commit", "--live", "--pause-limit", "60000", id, made);
  expect(done).toMatchObject({ status: 0, stdout: `${made}@1` });
  const copy = nextId();
  await host.ok("create", copy, made);
  await within(host, copy, expectOneMoment);
  await host.ok("rm", copy);
  await host.ok("base", "rm", made);
  await expectAtWork(root);
  expect(await host.veneer("base", "show", `${base}@1`)).toMatchObject({ status: 0 });
  expectNothingLeft();
}

function expectNothingLeft(): void {
  expect(readdirSync(join(host.root, "staging"))).toEqual([]);
  const moving = join(host.run, "moving");
  expect(existsSync(moving) ? readdirSync(moving) : []).toEqual([]);
}

const rootOf = ({ pid }: Running) => `/proc/${pid}/root`;

describe.each(WAYS)("%s", (way) => {
  it("copies a container with a named instance, and goes on", async () => {
    const instance = nextId();
    await host.ok("create", instance, "b@1");
    const container = await begin(host, way, LOOP, instance);
    await expectCopies(instance, rootOf(container));
    await container.stop();
    await host.ok("rm", instance);
  });

  it("copies a container without an instance", async () => {
    const container = await begin(host, way, LOOP, undefined);
    await expectCopies(container.id, rootOf(container));
    await container.stop();
    await host.ok("gc");
  });
});

describe("a container that was rebased while it ran", () => {
  it("is copied with all of its parts", async () => {
    const instance = nextId();
    await host.ok("create", instance, "b@1");
    const container = await begin(host, "runc wrapped", LOOP, instance);
    await waitForWrites(rootOf(container));
    // a file with several names that is open keeps what was written in its part
    await host.ok("rebase", "--pause-limit", "60000", instance, "b@2");
    await container.exec("rm /m/7 /m/same-7; mkdir /etc/new; echo new > /etc/new/file");
    await host.ok("rebase", "--pause-limit", "60000", instance, "b@1");
    const copy = nextId();
    await host.ok("clone", "--live", "--pause-limit", "60000", instance, copy);
    await within(host, copy, (tree) => {
      expect(last(tree, "a") - last(tree, "z")).toBeLessThanOrEqual(1);
      expect(existsSync(join(tree, "m/7"))).toBe(false);
      expect(readFileSync(join(tree, "etc/new/file"), "utf8")).toBe("new\n");
    });
    const made = nextId();
    await host.ok("commit", "--live", "--pause-limit", "60000", instance, made);
    const other = nextId();
    await host.ok("create", other, made);
    await within(host, other, (tree) => {
      expect(existsSync(join(tree, "m/7"))).toBe(false);
      expect(readFileSync(join(tree, "etc/new/file"), "utf8")).toBe("new\n");
    });
    await host.ok("rm", copy, other);
    await host.ok("base", "rm", made);
    await container.stop();
    await host.ok("rm", instance);
  });
});

describe("LXC", () => {
  const lxc = makeLxc(host);
  afterAll(() => lxc.stopAll());

  it("copies a container that runs, and goes on", async () => {
    const name = nextId();
    const script = join(host.dir, "loop");
    writeFileSync(script, LOOP);
    const lines = [
      "lxc.init.cmd = /bin/sh /loop",
      `lxc.mount.entry = ${script} loop none bind,ro,create=file`,
    ];
    lxc.container(name, { hook: "--base b@1 --persistent", lines });
    expect(await lxc.tool("start", name, "-d")).toMatchObject({ status: 0 });
    const [{ pid }] = JSON.parse(await host.ok("ps", "--json"));
    await expectCopies(name, `/proc/${pid}/root`);
    await lxc.tool("stop", name, "-k");
    await host.ok("rm", name);
  });
});

describe("an instance that is mounted by hand", () => {
  let writer: ChildProcess | undefined;
  const write = (command: string, args: readonly string[], cwd: string) => {
    writer = spawn(command, args, { cwd, stdio: "ignore" });
    return writer;
  };
  const end = async (process: ChildProcess) => {
    const gone = new Promise((resolve) => process.once("exit", resolve));
    process.kill("SIGKILL");
    await gone;
  };
  afterAll(() => writer?.kill("SIGKILL"));

  it.each([
    [
      "a process that works in it",
      (tree: string) => write("/bin/sh", ["-c", LOOP.replace("cd /; ", "")], tree),
    ],
    ["a process in a chroot", (tree: string) => write("chroot", [tree, "/bin/sh", "-c", LOOP], "/")],
  ])("is copied while %s writes", async (_who, begins) => {
    const instance = nextId();
    await host.ok("create", instance, "b@1");
    const tree = await host.ok("mount", "--suid", instance);
    const process = begins(tree);
    await expectCopies(instance, tree);
    await end(process);
    await host.ok("umount", instance);
    await host.ok("rm", instance);
  });

  it("is copied as of one moment, or refused, where somebody writes who does not stand still", async () => {
    const instance = nextId();
    await host.ok("create", instance, "b@1");
    const tree = await host.ok("mount", instance);
    mkdirSync(join(tree, "a"));
    mkdirSync(join(tree, "z"));
    // by whole paths, from elsewhere, with nothing open between two writes
    const script = COUNT.replaceAll(/(a|z)\/count/g, `${tree}/$1/count`);
    const process = write("/bin/sh", ["-c", script], "/");
    await waitForWrites(tree);
    for (let count = 0; count < 3; count++) {
      const copy = nextId();
      const outcome = await host.veneer("clone", "--live", "--pause-limit", "2000", instance, copy);
      if (outcome.status === 0) {
        // it did not write meanwhile
        await within(host, copy, (root) => expect([0, 1]).toContain(last(root, "a") - last(root, "z")));
        await host.ok("rm", copy);
        continue;
      }
      expect(outcome).toMatchObject({ status: 1, stderr: expect.stringMatching(/\[(BUSY|PAUSE)\]$/) });
      expect(outcome.stderr.split("\n").length).toBe(1);
    }
    await expectAtWork(tree);
    expectNothingLeft();
    await end(process);
    await host.ok("umount", instance);
    await host.ok("rm", instance);
  });
});

describe("a copy of what runs", () => {
  it("takes no longer than it may", async () => {
    const instance = nextId();
    await host.ok("create", instance, "b@1");
    const container = await begin(host, "runc wrapped", LOOP, instance);
    await waitForWrites(rootOf(container));
    expect(await host.veneer("clone", "--live", "--pause-limit", "1", instance, "late")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /(its copy took longer.*\[PAUSE\]|could not freeze .* within 1 ms.*\[NOT_FROZEN\])$/,
      ),
    });
    await expectAtWork(rootOf(container));
    expectNothingLeft();
    expect(existsSync(join(host.root, "instances/late"))).toBe(false);
    await container.stop();
    await host.ok("rm", instance);
  });

  it("lets the container go on when it is killed", async () => {
    const instance = nextId();
    await host.ok("create", instance, "b@1");
    const container = await begin(host, "runc wrapped", LOOP, instance);
    await waitForWrites(rootOf(container));
    let killed = 0;
    for (let count = 0; killed < 3 && count < 60; count++) {
      const process = spawn(
        PROGRAM,
        [
          "--root",
          host.root,
          "--run",
          host.run,
          "clone",
          "--live",
          "--pause-limit",
          "60000",
          instance,
          `k${count}`,
        ],
        { stdio: "ignore" },
      );
      const ended = new Promise((resolve) => process.once("exit", resolve));
      const moving = join(host.run, "moving");
      const isPaused = () => existsSync(moving) && readdirSync(moving).some((name) => name.endsWith(".json"));
      while (process.exitCode === null && !isPaused()) await new Promise((resolve) => setImmediate(resolve));
      if (process.kill("SIGKILL")) killed++;
      await ended;
      await expectAtWork(rootOf(container));
    }
    expect(killed).toBe(3);
    await host.ok("gc");
    await expect.poll(() => readdirSync(join(host.root, "staging"))).toEqual([]);
    expectNothingLeft();
    for (const name of readdirSync(join(host.root, "instances")))
      if (/^k/.test(name)) await host.ok("rm", name);
    await container.stop();
    await host.ok("rm", instance);
  });

  it("is refused of an upper in memory, before anything is stopped", async () => {
    const instance = nextId();
    await host.ok("create", instance, "b@1", "--tmpfs", "16m");
    const container = await begin(host, "runc wrapped", LOOP, instance);
    for (const verb of ["clone", "commit"]) {
      const outcome = await host.veneer(verb, "--live", instance, "other");
      expect(outcome).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/in memory.*\[IN_MEMORY\]$/),
      });
      expect(outcome.stderr.split("\n").length).toBe(1);
    }
    await container.stop();
    await host.ok("rm", instance);
  });

  it("is a plain copy where nothing runs, and wants no --cutover", async () => {
    const instance = nextId();
    const tree = makeTree(join(host.dir, "tree-plain"));
    plantBase(host, "plain", tree);
    await host.ok("create", instance, "plain");
    expect(await host.veneer("clone", "--live", instance, "copy")).toEqual({
      status: 0,
      stdout: "copy",
      stderr: "",
    });
    expect(await host.veneer("commit", "--live", "--cutover", instance, "plain")).toMatchObject({
      status: 2,
    });
    expect(await host.veneer("clone", "--pause-limit", "5", instance, "copy2")).toMatchObject({ status: 2 });
    await host.ok("rm", instance, "copy");
  });
});
