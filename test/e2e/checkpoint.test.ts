/** `checkpoint` and `restore` through the wrapping runtime, by CRIU. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { leftovers, makeBase } from "../helpers/base.ts";
import { type Config, makeBundle, nextId } from "../helpers/bundle.ts";
import { makeHost, plainCrun, sh } from "../helpers/host.ts";
import { IMAGE, makePodman } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";
import { storeArguments, wrapped } from "../helpers/wrapper.ts";

const host = makeHost();
const plainNamespace = plainCrun(host);

const knowsCheckpoint = async (name: string) =>
  (await sh(name, ["--help"], { env: { PATH: host.path } })).stdout.includes("checkpoint");
const runtimes = (
  await Promise.all(["runc", "crun"].map(async (name) => ((await knowsCheckpoint(name)) ? [name] : [])))
).flat();

/** Standard streams are /dev/null: CRIU finds no file that lies outside the container's root. */
const withoutStreams = (program: string, ...words: string[]) =>
  sh("sh", ["-c", 'exec "$@" </dev/null >/dev/null 2>&1', "sh", program, ...words], {
    env: { PATH: host.path },
  });

/**
 * Why CRIU cannot do it here, or "". An older one knows nothing of a newer kernel's vDSO; and where `criu check` is
 * content, a dump can fail all the same: the runtime itself, without us, is asked for one.
 */
const refusal = await criuRefusal();
async function criuRefusal(): Promise<string> {
  const outcome = await sh("criu", ["check"]).catch((error) => ({ status: 1, stderr: String(error) }));
  if (outcome.status !== 0) return outcome.stderr.split("\n")[0] ?? "criu check fails";
  const [name] = runtimes;
  if (name === undefined) return "no runtime here checkpoints";
  const tree = makeTree(join(host.dir, "probe"));
  const path = makeBundle(join(host.dir, "probe-bundle"), "sleep 60", (config) => {
    config.root.path = tree;
  });
  const state = ["--root", join(host.dir, "probe-state")];
  const id = nextId();
  const images = join(host.dir, "probe-images");
  try {
    await withoutStreams(name, ...state, "run", "--detach", "-b", path, id);
    const words = ["checkpoint", "--leave-running", "--image-path", images, "--work-path", images, id];
    const dumped = await sh(name, [...state, ...words], { env: { PATH: host.path } });
    if (dumped.status === 0) return "";
    const log = join(images, "dump.log");
    const why = existsSync(log) ? readFileSync(log, "utf8").match(/^.*Error.*$/m)?.[0] : undefined;
    return `plain ${name} cannot checkpoint: ${why ?? dumped.stderr.trim()}`;
  } finally {
    await sh(name, [...state, "delete", "--force", id], { env: { PATH: host.path } });
  }
}

/**
 * CRIU dumps every control group below those of a process, and makes them anew below the restored one's. Beside
 * version 1 runtimes leave a container in the group of version 2 that they run in themselves: not the root, then,
 * which would double all that there is with each restore.
 */
const unified = "/sys/fs/cgroup/unified";
const group = join(unified, `veneer-checkpoint-${process.pid}-${Date.now()}`);
/** Those that CRIU makes for a restored container, which crun knows nothing of. */
const restored: string[] = [];
const hybrid = existsSync(unified) && refusal === "";

function removeGroups(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeGroups(join(path, entry.name));
  }
  rmdirSync(path);
}

beforeAll(async () => {
  makeBase(host, "b");
  if (hybrid) {
    mkdirSync(group);
    writeFileSync(join(group, "cgroup.procs"), String(process.pid));
  }
  await plainNamespace.begin();
});
afterAll(async () => {
  await plainNamespace.end();
  if (hybrid) {
    writeFileSync(join(unified, "cgroup.procs"), String(process.pid));
    for (const path of [group, ...restored]) if (existsSync(path)) removeGroups(path);
  }
  await host.remove();
});

/** Counts in memory, a line a step in the file: a step that is missing or twice there is a lost or another process. */
const COUNT = "n=0; while :; do n=$((n+1)); echo $n >>/count; sleep 0.1; done";
const steps = (file: string) => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : []);
const counted = (length: number) => Array.from({ length }, (_, index) => `${index + 1}`);

let number = 0;
const bundle = (edit: (config: Config) => void) =>
  makeBundle(join(host.dir, `bundle${++number}`), COUNT, edit);

describe.skipIf(refusal !== "").each(runtimes)(`veneer-%s (${refusal || "criu works"})`, (name) => {
  const images = () => {
    const dir = join(host.dir, `images${++number}`);
    mkdirSync(dir);
    return dir;
  };
  const call = (...args: string[]) => wrapped(host, name, args);
  const background = (...args: string[]) =>
    withoutStreams(
      join(host.bin, `veneer-${name}`),
      ...storeArguments(host),
      "--root",
      join(host.dir, "state"),
      ...args,
    );
  const ids: string[] = [];
  const newId = () => {
    const id = nextId();
    ids.push(id);
    restored.push(join(unified, id));
    return id;
  };
  afterEach(async () => {
    for (const id of ids.splice(0)) await call("delete", "--force", id);
  });

  it("brings a container without a base back", async () => {
    const tree = makeTree(join(host.dir, `plain-${name}`));
    const path = bundle((config) => {
      config.root.path = tree;
    });
    const id = newId();
    const file = join(tree, "count");
    expect(await background("run", "--detach", "-b", path, id)).toMatchObject({ status: 0 });
    await expect.poll(() => steps(file).length).toBeGreaterThan(2);
    const dir = images();
    expect(await call("checkpoint", "--image-path", dir, id)).toMatchObject({ status: 0, stderr: "" });
    const before = steps(file).length;
    expect(await background("restore", "--detach", "--image-path", dir, "-b", path, id)).toMatchObject({
      status: 0,
    });
    await expect.poll(() => steps(file).length).toBeGreaterThan(before + 2);
    expect(steps(file)).toEqual(counted(steps(file).length));
  });

  it("brings a container on a base back with its files, by the instance that it had", async () => {
    const id = newId();
    const instance = `counter-${name}`;
    // a link in the base, which a runtime must not take for a place of its own on the host
    const resolv = join(host.dir, "resolv.conf");
    writeFileSync(resolv, "nameserver 192.0.2.1\n");
    const path = bundle((config) => {
      // crun 1.21 tells CRIU the link itself, on any root
      if (name === "runc") {
        const options = ["bind", "ro"];
        config.mounts.push({ destination: "/etc/resolv.conf", type: "bind", source: resolv, options });
      }
      config.annotations = {
        "run.veneer.base": "b",
        "run.veneer.instance": instance,
        "run.veneer.upper": "persistent",
      };
    });
    const file = join(host.root, `instances/${instance}/1/upper/count`);
    expect(await background("run", "--detach", "-b", path, id)).toMatchObject({ status: 0 });
    await expect.poll(() => steps(file).length).toBeGreaterThan(2);
    const dir = images();
    expect(await call("checkpoint", "--image-path", dir, id)).toMatchObject({ status: 0, stderr: "" });
    await expect.poll(() => leftovers(host)).toEqual([]);
    const before = steps(file).length;
    const pidFile = join(host.dir, `pid${number}`);
    const words = ["--detach", "--pid-file", pidFile, "--image-path", dir, "-b", path];
    expect(await background("restore", ...words, id)).toMatchObject({ status: 0 });
    await expect.poll(() => steps(file).length).toBeGreaterThan(before + 2);
    expect(steps(file)).toEqual(counted(steps(file).length));
    expect(await call("exec", id, "cat", "/etc/os-release")).toMatchObject({ stdout: "ID=veneer-test" });
    if (name === "runc") {
      const shown = await call("exec", id, "cat", "/etc/resolv.conf");
      expect(shown).toMatchObject({ stdout: "nameserver 192.0.2.1" });
    }
    expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([{ container: id, instance }]);
    expect(JSON.parse((await call("state", id)).stdout).pid).toBe(Number(readFileSync(pidFile, "utf8")));
    const second = await call("run", "-b", path, nextId());
    expect(second.stderr).toContain(`instance ${instance} is held by container ${id}`);
    await call("delete", "--force", id);
    await expect.poll(() => leftovers(host)).toEqual([]);
    await host.ok("rm", instance);
  });

  it("is brought back by podman", async () => {
    const podman = await makePodman(host, `podman-${name}`);
    const words = ["--runtime", join(host.bin, `veneer-${name}`)];
    const annotations = [
      "run.veneer.base=b",
      `run.veneer.instance=podman-${name}`,
      "run.veneer.upper=persistent",
    ];
    const options = ["--network", "none", ...annotations.flatMap((text) => ["--annotation", text])];
    const file = join(host.root, `instances/podman-${name}/1/upper/count`);
    try {
      const id = await podman.ok(...words, "run", "-d", "--name", "c", ...options, IMAGE, "sh", "-c", COUNT);
      restored.push(join(unified, `libpod_parent/libpod-${id}`));
      await expect.poll(() => steps(file).length).toBeGreaterThan(2);
      await podman.ok(...words, "container", "checkpoint", "c");
      const before = steps(file).length;
      await podman.ok(...words, "container", "restore", "c");
      await expect.poll(() => steps(file).length).toBeGreaterThan(before + 2);
      expect(steps(file)).toEqual(counted(steps(file).length));
    } finally {
      await podman.removeAll();
    }
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  it("goes on after a checkpoint that leaves it running", async () => {
    const id = newId();
    const path = bundle((config) => {
      config.annotations["run.veneer.base"] = "b";
    });
    expect(await background("run", "--detach", "-b", path, id)).toMatchObject({ status: 0 });
    expect(await call("checkpoint", "--leave-running", "--image-path", images(), id)).toMatchObject({
      status: 0,
      stderr: "",
    });
    expect(await call("exec", id, "cat", "/etc/os-release")).toMatchObject({ stdout: "ID=veneer-test" });
    expect(leftovers(host)).not.toEqual([]);
    await call("delete", "--force", id);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });
});
