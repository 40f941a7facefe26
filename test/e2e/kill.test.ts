/** Nothing is left behind: whatever fails or is killed, `gc` brings the host back to where it was. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import {
  type Config,
  detach,
  type Hook,
  hookAt,
  makeBundle,
  nextId,
  plantImage,
  RUNTIMES,
  runBundle,
  runtime,
} from "../helpers/bundle.ts";
import { type Host, makeHost, must, PROJECT, type sh, WRAPPERS } from "../helpers/host.ts";
import { ageTemporaries, leftovers } from "../helpers/leftovers.ts";
import { mountTable } from "../helpers/mounts.ts";
import { need } from "../helpers/need.ts";
import { killAt, type Moment, momentsOf, recordTo, traceHook, tryStrace } from "../helpers/strace.ts";
import { storeArguments, wrapped } from "../helpers/wrapper.ts";

const host = makeHost();
beforeAll(() => {
  makeBase(host, "b");
});
afterAll(() => host.remove());
afterEach(async () => {
  await expectClean();
});

let count = 0;
const bundle = (command: string, edit: (config: Config) => void) =>
  makeBundle(join(host.dir, `bundle${++count}`), command, edit);

/**
 * What is left besides `kept`, the named instance, and the link to its last holder, once gc has been by. An
 * overlay may end a moment after its container; gc takes files half written only when they are old.
 */
async function expectClean(): Promise<void> {
  const kept = ["store/instances/kept", "run/held/kept"];
  const found = () => leftovers(host).filter((path) => !kept.includes(path));
  const left = async () => {
    if (found().length === 0) return [];
    ageTemporaries(host);
    await host.ok("gc");
    return found();
  };
  await expect.poll(left).toEqual([]);
  expect(mountTable().filter((line) => !line.includes("/memory "))).toEqual([]);
}

/** A host with the same store, whose wrapping runtime is traced until it becomes the real one. */
function tracedHost(options: readonly string[]): Host {
  const bin = join(host.dir, `traced${++count}`);
  mkdirSync(bin);
  const words = ["-b", "execve", ...options].map((word) => `'${word}'`).join(" ");
  for (const name of WRAPPERS) {
    const line = `exec strace ${words} ${join(PROJECT, "dist", name)} "$@"`;
    writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  }
  return { ...host, bin };
}

describe("a kill -9 of the program at each call that changes something", () => {
  const cases: [string, string[], Record<string, string>][] = [
    ["an ephemeral upper", [], {}],
    ["an upper in memory", ["--tmpfs", "1m"], { "run.veneer.tmpfs": "1m" }],
    [
      "a new persistent instance",
      ["--instance", "kept", "--persistent"],
      { "run.veneer.instance": "kept", "run.veneer.upper": "persistent" },
    ],
  ];

  /** Tries each moment: after the kill the host is clean, and the same container starts. */
  async function killEverywhere(
    moments: readonly Moment[],
    run: (options: readonly string[]) => ReturnType<typeof sh>,
  ): Promise<void> {
    expect(moments.length).toBeGreaterThan(8);
    for (const moment of moments) {
      const killed = await run(killAt(moment));
      const where = `${moment.call} ${moment.when}`;
      // the container starts only when all was in place before the kill
      if (killed.status === 0) expect([where, killed.stdout]).toEqual([where, "ID=veneer-test"]);
      expect([where, mountTable()]).toEqual([where, []]);
      expect([where, await run(["-o", "/dev/null", "-e", "trace=none"])]).toMatchObject([
        where,
        { status: 0 },
      ]);
      await expectClean();
      if (existsSync(join(host.root, "instances/kept"))) await host.ok("rm", "kept");
      expect([where, leftovers(host)]).toEqual([where, []]);
    }
  }

  /** A helper that follows init makes the same call some hundred times. */
  function someOf(moments: readonly Moment[]): Moment[] {
    const last = moments.filter(({ call }) => call === "ptrace").length;
    return moments.filter(
      ({ call, when }) => call !== "ptrace" || when < 6 || when % 16 === 0 || when > last - 4,
    );
  }

  it.each(cases)("hook oci, %s", { timeout: 240_000 }, async (_what, words) => {
    const trace = join(host.dir, "trace");
    const run = async (options: readonly string[]) => {
      let traced: () => Promise<unknown> = async () => {};
      const path = bundle("cat /etc/os-release", (config) => {
        hookAt(config, host, "createRuntime", "--base", "b", ...words);
        traced = traceHook(config.hooks.createRuntime?.[0] as Hook, host.dir, options);
      });
      plantImage(path);
      const outcome = await runBundle(host, "runc", path);
      await traced();
      return outcome;
    };
    expect(await run(recordTo(trace))).toMatchObject({ status: 0 });
    await host.veneer("rm", "kept");
    await killEverywhere(someOf(momentsOf(trace)), run);
  });

  it.each(cases)("runtime, %s", { timeout: 240_000 }, async (_what, _words, annotations) => {
    const trace = join(host.dir, "trace");
    const run = async (options: readonly string[]) => {
      const traced = tracedHost(options);
      const path = bundle("cat /etc/os-release", (config) => {
        config.annotations = { "run.veneer.base": "b", ...annotations };
      });
      return wrapped(traced, "runc", ["run", "-b", path, nextId()]);
    };
    expect(await run(recordTo(trace))).toMatchObject({ status: 0 });
    await expectClean();
    await host.veneer("rm", "kept");
    await killEverywhere(momentsOf(trace), run);
  });

  it("poststop of hook oci", { timeout: 120_000 }, async (context) => {
    await need(context, "strace", tryStrace);
    const trace = join(host.dir, "trace");
    const run = (options: readonly string[]) =>
      runBundle(
        host,
        "runc",
        bundle("cat /etc/os-release", (config) => {
          hookAt(config, host, "createRuntime", "--base", "b");
          const hook = config.hooks.poststop?.[0];
          if (!hook) throw new Error("no hook");
          hook.args = ["strace", ...options, hook.path, ...(hook.args ?? []).slice(1)];
          hook.path = "/usr/bin/strace";
        }),
      );
    expect(await run(recordTo(trace))).toMatchObject({ status: 0 });
    const moments = momentsOf(trace);
    expect(moments.length).toBeGreaterThan(2);
    for (const moment of moments) {
      expect(await run(killAt(moment))).toMatchObject({ status: 0 });
      await expectClean();
    }
  });
});

describe.each(RUNTIMES)("%s", (name) => {
  const failing: [string, (config: Config) => void][] = [
    ["a command that does not exist", (config) => void config.process.args.splice(0, 3, "/no/such/command")],
    ["a command that fails", (config) => void config.process.args.splice(0, 3, "/bin/false")],
    [
      "another hook that fails after ours",
      (config) => void config.hooks.createRuntime?.push({ path: "/bin/false" }),
    ],
    [
      "another hook that fails before ours",
      (config) => void config.hooks.createRuntime?.unshift({ path: "/bin/false" }),
    ],
    [
      "a volume that does not exist",
      (config) =>
        void config.mounts.push({ destination: "/v", source: "/no/such", type: "bind", options: ["bind"] }),
    ],
  ];

  it.each(failing)("hook oci with %s leaves nothing", async (_what, edit) => {
    const path = bundle("true", (config) => {
      hookAt(config, host, "createRuntime", "--base", "b");
      edit(config);
    });
    expect((await runBundle(host, name, path)).status).not.toBe(0);
  });

  it.each(failing)("veneer runtime with %s leaves nothing", async (_what, edit) => {
    const path = bundle("true", (config) => {
      config.annotations["run.veneer.base"] = "b";
      config.hooks.createRuntime = [{ path: "/bin/true" }];
      edit(config);
    });
    expect((await wrapped(host, name, ["run", "-b", path, nextId()])).status).not.toBe(0);
  });

  it.each([
    ["hook oci", name, [] as string[]],
    ["runtime", `veneer-${name}`, storeArguments(host)],
  ])("kill -9 of the runtime and its container, with %s", async (kind, program, words) => {
    const id = nextId();
    const path = bundle("echo up; exec sleep 60", (config) => {
      if (kind === "runtime") config.annotations["run.veneer.base"] = "b";
      else hookAt(config, host, "createRuntime", "--base", "b");
    });
    const file = program === "runc" ? program : join(host.bin, program);
    const args = [...words, "--root", join(host.dir, "state"), "run", "-b", path, id];
    const child = spawn(file, args, { env: { PATH: host.path }, stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const { pid } = JSON.parse((await runtime(host, name, ["state", id])).stdout);
    await host.ok("gc");
    expect(leftovers(host).length).toBeGreaterThan(1);
    child.kill("SIGKILL");
    await ended;
    // the container goes on without its runtime, and gc lets it be
    await host.ok("gc");
    expect(await runtime(host, name, ["exec", id, "cat", "/etc/os-release"])).toMatchObject({
      stdout: "ID=veneer-test",
    });
    process.kill(pid, "SIGKILL");
    await expectClean();
    // the runtime's own: its state and the container's control group
    expect(await runtime(host, name, ["delete", "--force", id])).toMatchObject({ status: 0 });
    await expectClean();
  });
});

describe("teardown", () => {
  // in memory, where 100,000 files are made quickly
  const memory = join(host.dir, "memory");
  let quick: Host;
  beforeAll(async () => {
    mkdirSync(memory);
    await must("mount", ["-t", "tmpfs", "tmpfs", memory]);
    quick = makeHost(memory);
    makeBase(quick, "b");
  });
  afterAll(() => must("umount", ["-l", memory]));

  /** Milliseconds that `delete` takes after the container has `files` in its upper. */
  async function deletion(files: number, start: (id: string) => Promise<unknown>): Promise<number> {
    const id = nextId();
    await start(id);
    const [upper] = readdirSync(join(quick.root, "ephemeral"));
    const dir = join(quick.root, "ephemeral", upper as string, "upper/home");
    mkdirSync(dir, { recursive: true });
    if (files > 0) await must("sh", ["-c", `cd "$0" && seq ${files} | xargs touch`, dir]);
    const before = performance.now();
    expect(await runtime(host, "runc", ["delete", "--force", id])).toMatchObject({ status: 0 });
    const time = performance.now() - before;
    await expect.poll(() => leftovers(quick), { interval: 100 }).toEqual([]);
    return time;
  }

  it.each([
    [
      "hook oci",
      (id: string) => {
        const path = bundle("sleep 60", (config) => hookAt(config, quick, "createRuntime", "--base", "b"));
        return detach(host, "runc", ["--root", join(host.dir, "state"), "create", "-b", path, id]);
      },
    ],
    [
      "runtime",
      (id: string) => {
        const path = bundle("sleep 60", (config) => {
          config.annotations["run.veneer.base"] = "b";
        });
        const words = [...storeArguments(quick), "--root", join(host.dir, "state"), "create", "-b", path, id];
        return detach(host, join(host.bin, "veneer-runc"), words);
      },
    ],
  ])(
    "of %s takes the same time for an empty upper and for one of 100,000 files",
    { timeout: 120_000, retry: 2 },
    async (_what, start) => {
      const fastest = async (files: number) =>
        Math.min(await deletion(files, start), await deletion(files, start), await deletion(files, start));
      const empty = await fastest(0);
      const full = await fastest(100_000);
      expect(full).toBeLessThan(empty * 2 + 50);
    },
  );
});
