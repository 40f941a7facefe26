/** Rebase of running containers: runc and crun, through the wrapping runtime and through the hook. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Config, detach, hookAt, makeBundle, nextId, RUNTIMES, runtime } from "../helpers/bundle.ts";
import { makeHost, plainCrun } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { mountTable } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";
import { storeArguments } from "../helpers/wrapper.ts";

const host = makeHost();
const crun = plainCrun(host);
let mountsBefore: string[];

beforeAll(async () => {
  for (const version of [1, 2]) {
    const tree = makeTree(join(host.dir, `tree${version}`));
    writeFileSync(join(tree, "etc/version"), `${version}\n`);
    writeFileSync(join(tree, `etc/only-${version}`), "");
    plantBase(host, "b", tree, version);
  }
  mkdirSync(join(host.dir, "volume/inner"), { recursive: true });
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});
beforeEach(() => {
  mountsBefore = mountTable();
});
afterEach(async () => {
  expect(mountTable()).toEqual(mountsBefore);
  await expect.poll(() => leftovers(host)).toEqual([]);
});

const WAYS = RUNTIMES.flatMap((name) => [`${name} wrapped`, `${name} with the hook`] as const);

interface Running {
  readonly id: string;
  readonly pid: number;
  /** a command's output in the container */
  exec(command: string): Promise<string>;
  execDetached(command: string): Promise<void>;
  mounts(): string[];
  stop(): Promise<void>;
}

/** Starts a container on b@1 whose upper is the persistent instance `instance`, or ephemeral without one. */
async function begin(
  way: string,
  command: string,
  instance: string | undefined,
  edit: (config: Config) => void = () => {},
): Promise<Running> {
  const [name = "runc"] = way.split(" ");
  const id = nextId();
  const bundle = makeBundle(join(host.dir, `bundle-${id}`), command, (config) => {
    if (way.endsWith("hook")) {
      const options = instance === undefined ? [] : ["--instance", instance, "--persistent"];
      hookAt(config, host, "createRuntime", "--base", "b@1", ...options);
    } else {
      config.annotations["run.veneer.base"] = "b@1";
      if (instance !== undefined) {
        config.annotations["run.veneer.instance"] = instance;
        config.annotations["run.veneer.upper"] = "persistent";
      }
    }
    edit(config);
  });
  const program = way.endsWith("hook") ? name : join(host.bin, `veneer-${name}`);
  const own = way.endsWith("hook") ? [] : storeArguments(host);
  const state = ["--root", join(host.dir, "state")];
  const started = await detach(host, program, [...own, ...state, "run", "-d", "-b", bundle, id]);
  expect(started).toMatchObject({ status: 0, stderr: "" });
  const status = async () => JSON.parse((await runtime(host, name, ["state", id])).stdout);
  const { pid } = await status();
  return {
    id,
    pid,
    async exec(script) {
      const outcome = await runtime(host, name, ["exec", id, "/bin/sh", "-c", script]);
      expect(outcome).toMatchObject({ status: 0, stderr: "" });
      return outcome.stdout;
    },
    async execDetached(script) {
      const outcome = await detach(host, name, [...state, "exec", "-d", id, "/bin/sh", "-c", script]);
      expect(outcome).toMatchObject({ status: 0, stderr: "" });
    },
    mounts: () => mountsOf(pid),
    async stop() {
      await runtime(host, name, ["kill", id, "KILL"]);
      await expect.poll(async () => (await status()).status).toBe("stopped");
      expect(await runtime(host, name, ["delete", id])).toMatchObject({ status: 0 });
    },
  };
}

/** Lines of mountinfo with the root's own line less what a rebase changes, and its id as `root`. */
function mountsOf(pid: number): string[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  const fields = lines.map((line) => line.split(" "));
  const root = fields.find((line) => line[4] === "/")?.[0];
  return fields
    .map((line) => {
      if (line[0] === root) return `root / ${line.slice(5, line.indexOf("-")).join(" ")}`;
      return [line[0], line[1] === root ? "root" : line[1], ...line.slice(2)].join(" ");
    })
    .sort();
}

const LOOP = "echo mine > /etc/mine; rm /etc/group; while :; do cat /etc/version > /seen; sleep 0.05; done";

const withVolumes = (config: Config) => {
  const options = (...words: string[]) => ["rbind", ...words];
  const source = join(host.dir, "volume");
  config.mounts.push(
    { destination: "/data", type: "bind", source, options: options("rw") },
    { destination: "/data/inner", type: "bind", source, options: options("ro", "nosuid") },
    { destination: "/etc/hosts", type: "bind", source: "/etc/hosts", options: options("ro") },
    { destination: "/slave", type: "bind", source, options: options("rw", "rslave") },
    { destination: "/run", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=755"] },
    { destination: "/twice", type: "tmpfs", source: "lower", options: ["mode=700"] },
    { destination: "/twice", type: "tmpfs", source: "upper", options: ["mode=755"] },
    { destination: "/deep/below", type: "tmpfs", source: "hidden", options: ["mode=755"] },
    { destination: "/deep", type: "tmpfs", source: "above", options: ["mode=755"] },
  );
  config.linux.maskedPaths.push("/etc/passwd");
};

describe.each(WAYS)("%s", (way) => {
  it("goes on, sees the new version and its own changes, and keeps its mounts", async () => {
    const instance = `web-${nextId()}`;
    await host.ok("create", instance, "b@1");
    const container = await begin(way, LOOP, instance, withVolumes);
    await expect.poll(() => container.exec("cat /seen")).toBe("1");
    const before = container.mounts();

    const done = await host.veneer("rebase", instance, "b@2");
    expect(done).toMatchObject({ status: 0 });
    expect(done.stderr).toMatch(/stood still for [0-9.]+ ms/);
    expect(done.stderr).toContain("(program)");
    expect(done.stderr).toContain(`instance ${instance} is on b@2`);

    expect(container.mounts()).toEqual(before);
    expect(
      await container.exec(
        "cat /etc/version /etc/mine; ls /etc | grep -e only -e group; wc -c < /etc/passwd",
      ),
    ).toBe("2\nmine\nonly-2\n0");
    // the first process goes on, on the new root
    await expect.poll(() => container.exec("cat /seen")).toBe("2");
    expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([
      { instance, version: 2, pid: container.pid },
    ]);
    expect(existsSync(join(host.run, "moving")) ? readdirSync(join(host.run, "moving")) : []).toEqual([]);

    // back is another rebase
    await host.ok("rebase", instance, "b@1");
    expect(container.mounts()).toEqual(before);
    expect(await container.exec("cat /etc/version /etc/mine")).toBe("1\nmine");
    await host.ok("rebase", instance, "b@2");
    await container.stop();
    await host.ok("gc");

    const again = await begin(way, "sleep 60", instance, (config) => {
      config.annotations["run.veneer.base"] &&= "b";
      for (const { args } of Object.values(config.hooks).flat()) args?.splice(args.indexOf("b@1"), 1, "b");
    });
    expect(await again.exec("cat /etc/version /etc/mine; ls /etc | grep -e only -e group")).toBe(
      "2\nmine\nonly-2",
    );
    await again.stop();
    await host.ok("rm", instance);
  });

  it("keeps a read-only root read-only", async () => {
    const container = await begin(way, "sleep 60", undefined, (config) => {
      config.root.readonly = true;
      withVolumes(config);
    });
    const before = container.mounts();
    await host.ok("rebase", container.id, "b@2");
    expect(container.mounts()).toEqual(before);
    expect(
      await container.exec("cat /etc/version; touch /x 2>/dev/null || echo read-only; echo y > /data/y"),
    ).toBe("2\nread-only");
    await container.stop();
  });
});
