import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
beforeAll(() => {
  const tree = join(host.dir, "tree");
  makeTree(tree);
  plantBase(host, "tree", tree);
});

const left = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);

/** Ends the containers that a failed test left. */
async function stopAll(): Promise<void> {
  for (const runtime of ["runc", "crun"]) {
    const state = join(host.run, runtime);
    for (const id of left(state)) await sh(runtime, ["--root", state, "delete", "--force", id]);
  }
  await host.veneer("gc");
}
afterAll(async () => {
  await stopAll();
  await host.remove();
});
/** What is deleted in the background is gone a moment later. */
afterEach(async () => {
  await stopAll();
  await waitFor(() => ["records", "logs"].every((name) => left(join(host.run, name)).length === 0));
});

/** What is there of containers: nothing, when all have ended. */
const remains = () => ["bundles", "runc", "crun"].flatMap((name) => left(join(host.run, name)));

const TRAP = "trap 'echo got TERM; exit 3' TERM; echo ready; while :; do sleep 0.05; done";

describe.each(["runc", "crun"])("a container in the background, with %s", (runtime) => {
  const begin = (text: string, ...options: string[]) =>
    host.ok("run", "tree", "-d", "--runtime", runtime, ...options, "--", "sh", "-c", text);
  const says = async (id: string, text: string) =>
    waitFor(async () => (await host.veneer("logs", id)).stdout.includes(text));

  it("runs on when its session ends, is listed, entered and stopped, and leaves nothing", async () => {
    // the session's leader ends with `sh`: what is left of it gets SIGHUP
    const words = `veneer run tree -d --runtime ${runtime} -- sh -c "${TRAP}"; kill -HUP -$$`;
    const { stdout: id } = await sh("setsid", ["sh", "-c", words], { env: { PATH: host.path } });
    expect(id).toMatch(/^tree-/);
    await says(id, "ready");
    expect(await host.ok("ps")).toContain(id);
    expect(await host.ok("ps", id.slice(0, -2))).toContain(id);
    expect(JSON.parse(await host.ok("inspect", id.slice(0, -2), "--json"))).toMatchObject({ container: id });
    expect(await host.veneer("exec", id, "--", "sh", "-c", "exit 7")).toMatchObject({ status: 7 });
    await host.ok("exec", "tree-", "--", "sh", "-c", "echo inner >/proc/1/fd/1");
    await says(id, "inner");
    const following = host.veneer("logs", "-f", id);
    await host.ok("stop", id);
    expect(remains()).toEqual([]);
    expect((await following).stdout).toBe("ready\ninner\ngot TERM");
    await waitFor(() => left(join(host.run, "logs")).length === 0);
    expect(await host.veneer("stop", id)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("NOT_RUNNING"),
    });
  });

  it("is killed when it does not end in time", async () => {
    const id = await begin("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    await says(id, "ready");
    await host.ok("stop", id, "--time", "0");
    expect(remains()).toEqual([]);
  });

  it("ends by itself; with a name its output stays until the next start", async () => {
    expect(await begin("echo first; echo second >&2", "--name", "web1")).toBe("web1");
    await waitFor(() => remains().length === 0);
    expect(await host.ok("logs", "web1")).toBe("first\nsecond");
    await begin("echo third", "--name", "web1");
    await waitFor(() => remains().length === 0);
    expect(await host.ok("logs", "web1")).toBe("third");
    await host.ok("rm", "web1");
    await host.ok("gc");
    await waitFor(() => left(join(host.run, "logs")).length === 0);
  });

  it("is described as JSON: its id, instance, version and first process", async () => {
    const { id, pid, ...rest } = JSON.parse(await begin("echo ready; exec sleep 1000", "--json"));
    expect(rest).toEqual({ base: "tree", version: 1 });
    await says(id, "ready");
    expect(readlinkSync(`/proc/${pid}/ns/pid`)).not.toBe(readlinkSync("/proc/self/ns/pid"));
    const state = await must(runtime, ["--root", join(host.run, runtime), "state", id]);
    expect(JSON.parse(state)).toMatchObject({ id, pid });
    await host.ok("stop", id, "--time", "0");
    // one that ends at once is described all the same
    expect(JSON.parse(await begin("true", "--json", "--name", "brief"))).toEqual({
      id: "brief",
      instance: "brief",
      base: "tree",
      version: 1,
      pid: expect.any(Number),
    });
    await waitFor(() => remains().length === 0);
    await host.ok("rm", "brief");
    const failed = await host.veneer("run", "tree", "-d", "--json", "--runtime", runtime, "--", "nope");
    expect(failed.status).not.toBe(0);
    expect(failed.stdout).toBe("");
  });

  it("says why it did not start, and leaves nothing", async () => {
    const { status, stdout, stderr } = await host.veneer(
      "run",
      "tree",
      "-d",
      "--runtime",
      runtime,
      "--",
      "nope",
    );
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain("nope");
    await waitFor(() => remains().length === 0);
  });

  it("with --rm takes its instance along", async () => {
    const id = await begin(TRAP, "--name", "short", "--rm");
    await says(id, "ready");
    await host.ok("stop", id);
    await waitFor(async () => (await host.ok("ls")).includes("short") === false);
    await waitFor(() => left(join(host.run, "logs")).length === 0);
  });

  it("gets commands with user, variables and directory, and on a terminal", async () => {
    const id = await begin(
      "echo 'own:x:77:78::/home/own:' >>/etc/passwd; echo ready; exec sleep 1000",
      "-e",
      "A=1",
    );
    await says(id, "ready");
    const text = "echo $A $B $HOME; pwd; id -u; id -g";
    expect(await host.ok("exec", id, "-u", "own", "-e", "B=2", "-w", "/tmp", "--", "sh", "-c", text)).toBe(
      "1 2 /home/own\n/tmp\n77\n78",
    );
    expect(await host.veneer("exec", id, "-t", "--", "true")).toMatchObject({ status: 2 });
    const onTerminal = `veneer exec ${id} -t -- sh -c 'test -t 0 && test -t 1 && echo terminal $TERM'`;
    const shown = await must("script", ["-qec", onTerminal, "/dev/null"], {
      env: { PATH: host.path, TERM: "dumb" },
    });
    expect(shown).toContain("terminal dumb");
    expect(left(join(host.run, "bundles"))).toEqual([id]);
    await host.ok("stop", id, "--time", "0");
  });

  it("two at once; a name in use is refused, and a beginning of both", async () => {
    const [one, two] = await Promise.all([
      begin(TRAP, "--name", "pair-one"),
      begin(TRAP, "--name", "pair-two"),
    ]);
    await says(one, "ready");
    await says(two, "ready");
    const again = await host.veneer(
      "run",
      "tree",
      "-d",
      "--runtime",
      runtime,
      "--name",
      "pair-one",
      "--",
      "true",
    );
    expect(again).toMatchObject({ status: 1, stderr: expect.stringContaining("HELD") });
    expect(await host.ok("logs", "pair-one")).toBe("ready");
    for (const verb of ["stop", "logs", "ps", "inspect"]) {
      const { status, stderr } = await host.veneer(verb, "pair-");
      expect(status, verb).toBe(1);
      expect(stderr).toContain("AMBIGUOUS");
      expect(stderr).toContain("pair-one, pair-two");
    }
    await Promise.all([host.ok("stop", "pair-o"), host.ok("stop", "pair-t")]);
    expect(remains()).toEqual([]);
    await host.ok("rm", "pair-one");
    await host.ok("rm", "pair-two");
  });

  it("whose keeper was killed runs on, is stopped, and is forgotten by gc", async () => {
    const id = await begin("echo ready; exec sleep 1000");
    await says(id, "ready");
    const keeper = keeperOf(id);
    process.kill(keeper, "SIGKILL");
    await waitFor(() => !existsSync(`/proc/${keeper}/exe`));
    expect(await host.ok("ps")).toContain(id);
    expect(await host.ok("exec", id, "--", "echo", "there")).toBe("there");
    await host.ok("stop", id, "--time", "0");
    expect(remains()).toEqual([]);
    await waitFor(() => left(join(host.run, "logs")).length === 0);
  });

  it("whose runtime was killed before it noted its control groups leaves none of them", async () => {
    const id = await begin("exec sleep 1000");
    const bundle = join(host.run, "bundles", id);
    const { linux } = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
    const groups = async () =>
      (await sh("find", ["/sys/fs/cgroup", "-name", basename(linux.cgroupsPath)])).stdout;
    expect(await groups()).not.toBe("");
    const container = Number(readFileSync(join(bundle, "pid"), "utf8"));
    for (const pid of [keeperOf(id), container]) process.kill(pid, "SIGKILL");
    await waitFor(() => !existsSync(`/proc/${container}/exe`));
    rmSync(join(host.run, runtime, id), { recursive: true });
    await host.ok("gc");
    expect(await groups()).toBe("");
  });
});

/** The process that has the bundle's directory open. */
function keeperOf(id: string): number {
  const bundle = join(host.run, "bundles", id);
  const isKeeper = (pid: string) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === bundle);
    } catch {
      return false;
    }
  };
  const found = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && isKeeper(name));
  expect(found).toHaveLength(1);
  return Number(found[0]);
}

it("of much output the last part is kept", async () => {
  const text =
    "i=0; while [ $i -lt 130 ]; do head -c 100000 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; echo end";
  await host.ok("run", "tree", "-d", "--name", "much", "--", "sh", "-c", text);
  await waitFor(() => remains().length === 0);
  const shown = await host.ok("logs", "much");
  expect(shown.endsWith("\nend")).toBe(true);
  expect(shown.length).toBeGreaterThan(4 * 1024 * 1024);
  expect(shown.length).toBeLessThan(8 * 1024 * 1024 + 1);
  await host.ok("rm", "much");
});

it("an engine's container is refused, with the engine's command", async () => {
  await host.ok("create", "hand", "tree");
  mkdirSync(join(host.dir, "hand"));
  await host.ok("mount", "hand", join(host.dir, "hand"));
  const { status, stderr } = await host.veneer("stop", "hand");
  expect(status).toBe(1);
  expect(stderr).toContain("veneer umount hand");
  await host.ok("umount", "hand");
  await host.ok("rm", "hand");
});

it("a container that the runtime was called for is none of ours", async () => {
  const directory = join(host.dir, "foreign");
  await host.ok("bundle", "tree", directory, "--", "sleep", "1000");
  const state = join(host.dir, "state");
  const words = ["--root", state, "run", "--detach", "--bundle", directory, "foreign"];
  await execa(join(host.bin, "veneer-runc"), words, { stdio: "ignore", env: { PATH: host.path } });
  for (const verb of [["stop"], ["logs"], ["exec", "--", "true"]]) {
    const [name = "", ...rest] = verb;
    const { status, stderr } = await host.veneer(name, "foreign", ...rest);
    expect(status).toBe(1);
    expect(stderr).toContain("NOT_OURS");
  }
  await must(join(host.bin, "veneer-runc"), ["--root", state, "delete", "--force", "foreign"], {
    env: { PATH: host.path },
  });
  await waitFor(() => remains().length === 0);
});

it("ids are completed", async () => {
  const id = await host.ok("run", "tree", "-d", "--name", "complete-me", "--", "sleep", "1000");
  for (const verb of ["stop", "exec", "logs"]) {
    await waitFor(async () => (await host.ok("internal", "complete", "--", verb, "com")).endsWith(`\n${id}`));
  }
  await host.ok("stop", id, "--time", "0");
  await host.ok("rm", id);
});

it("has no terminal", async () => {
  expect(await host.veneer("run", "tree", "-d", "-t")).toMatchObject({ status: 2 });
});
