/** Containers of LXC, podman, Docker and containerd are given another root while they run. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { label, makeImage } from "../helpers/app-image.ts";
import { plantBase } from "../helpers/base.ts";
import { type Containerd, startContainerd } from "../helpers/containerd.ts";
import { type Docker, startDocker } from "../helpers/docker.ts";
import { makeHost, must, type Outcome, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { mountsOf } from "../helpers/live.ts";
import { type Lxc, makeLxc } from "../helpers/lxc.ts";
import { IMAGE, makePodman, type Podman, ways } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const volume = join(host.dir, "volume");

beforeAll(() => {
  for (const version of [1, 2]) {
    const tree = label(makeTree(join(host.dir, `tree${version}`)), `version ${version}`);
    plantBase(host, "debian", tree, version);
  }
  mkdirSync(volume);
});
afterAll(() => host.remove());
afterEach(async () => {
  await host.ok("gc");
  await expect.poll(() => leftovers(host), { timeout: 10_000 }).toEqual([]);
  expect((await sh("findmnt", ["-rno", "SOURCE", "-t", "overlay"])).stdout).not.toContain("veneer:");
});

const LOOP =
  "echo mine >/etc/mine; exec 7>>/log; while :; do echo x >&7; cat /etc/which >/seen; sleep 0.05; done";

/** Moves the one container that runs onto version 2 and back; `exec` is the engine's own. */
async function expectFollows(
  exec: (script: string) => Promise<Outcome>,
  stop: () => Promise<unknown>,
): Promise<void> {
  const output = async (script: string) => (await exec(script)).stdout.trim();
  await expect.poll(() => output("cat /seen")).toBe("version 1");
  const [running] = JSON.parse(await host.ok("ps", "--json"));
  const id = running.instance ?? running.container;
  const before = mountsOf(running.pid);
  for (const version of [2, 1, 2]) {
    expect(await host.veneer("rebase", id, `debian@${version}`)).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/stood still for [0-9.]+ ms/),
    });
    expect(mountsOf(running.pid)).toEqual(before);
    expect(await exec("cat /etc/which /etc/mine")).toMatchObject({
      status: 0,
      stdout: `version ${version}\nmine`,
    });
    await expect.poll(() => output("cat /seen")).toBe(`version ${version}`);
    const lines = Number(await output("wc -l </log"));
    await expect.poll(async () => Number(await output("wc -l </log"))).toBeGreaterThan(lines);
    expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([{ pid: running.pid, version }]);
  }
  await stop();
}

describe("LXC", () => {
  let lxc: Lxc;
  beforeAll(() => {
    lxc = makeLxc(host);
  });
  afterAll(() => lxc.stopAll());

  it.each([
    ["with a persistent upper", "--persistent"],
    ["with an ephemeral upper", ""],
  ])("%s", async (_what, option) => {
    const name = `live${option.length}`;
    const script = join(host.dir, "loop");
    writeFileSync(script, LOOP);
    lxc.container(name, {
      hook: `--base debian@1 ${option}`,
      lines: [
        "lxc.init.cmd = /bin/sh /loop",
        `lxc.mount.entry = ${script} loop none bind,ro,create=file`,
        `lxc.mount.entry = ${volume} data none rbind,create=dir`,
        "lxc.mount.auto = proc:mixed sys:mixed",
      ],
    });
    expect(await lxc.tool("start", name, "-d")).toMatchObject({ status: 0 });
    await expectFollows(
      (command) => lxc.tool("attach", name, "--", "/bin/sh", "-c", command),
      () => lxc.tool("stop", name, "-k"),
    );
    if (option !== "") {
      await host.ok("gc");
      await host.ok("rm", name);
    }
  });
});

describe("podman", () => {
  let podman: Podman;
  beforeAll(async () => {
    podman = await makePodman(host);
  });
  afterAll(async () => {
    podman.useHook("none");
    await podman.removeAll();
  });
  const LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];

  it.each(ways(host))("$name", async ({ runtime, hook }) => {
    podman.useHook(hook);
    const words = [
      "--annotation",
      "run.veneer.base=debian@1",
      "-v",
      `${volume}:/data`,
      "--network",
      "none",
      ...LIMITS,
    ];
    await podman.ok("--runtime", runtime, "run", "-d", "--name", "live", ...words, IMAGE, "sh", "-c", LOOP);
    await expectFollows(
      (script) => podman.run(["--runtime", runtime, "exec", "live", "sh", "-c", script]),
      () => podman.removeAll(),
    );
  });
});

describe("Docker", () => {
  let docker: Docker;
  beforeAll(async () => {
    docker = await startDocker(host);
    docker.configure({ environment: { bases: ["debian"] } });
    const tar = join(host.dir, "image.tar");
    await must("tar", ["-C", label(makeTree(join(host.dir, "image")), "image"), "-cf", tar, "."]);
    expect(await docker.docker("import", "--change", "ENV PATH=/bin", tar, "app")).toMatchObject({
      status: 0,
    });
  });
  afterAll(() => docker?.stop());

  it("a container, and what docker restart starts", async () => {
    const words = ["-d", "--name", "live", "-e", "VENEER_BASE=debian@1", "-v", `${volume}:/data`, "app"];
    expect(await docker.run(...words, "sh", "-c", LOOP)).toMatchObject({ status: 0 });
    const exec = (script: string) => docker.docker("exec", "live", "sh", "-c", script);
    await expectFollows(exec, async () => {
      await docker.docker("rm", "-f", "live");
    });
  });
});

describe("containerd", () => {
  let containerd: Containerd;
  beforeAll(async () => {
    const other = { ...host, dir: join(host.dir, "ctr") };
    mkdirSync(other.dir);
    const archive = await makeImage(other.dir, "app", label(makeTree(join(other.dir, "image")), "image"));
    containerd = await startContainerd(other);
    await containerd.ctr("image", "import", "--base-name", "localhost/app", archive);
  });
  afterAll(() => containerd?.stop());

  it("a task", async () => {
    const words = ["-d", "--annotation", "run.veneer.base=debian@1", "localhost/app:latest", "live"];
    expect(await containerd.run(...words, "/bin/sh", "-c", LOOP)).toMatchObject({ status: 0 });
    let count = 0;
    await expectFollows(
      (script) => containerd.ctr("task", "exec", "--exec-id", `e${++count}`, "live", "/bin/sh", "-c", script),
      async () => {
        await containerd.ctr("task", "kill", "-s", "KILL", "live");
        await expect.poll(async () => (await containerd.ctr("task", "ls")).stdout).toContain("STOPPED");
        await containerd.ctr("task", "rm", "live");
        await containerd.ctr("container", "rm", "live");
      },
    );
  });
});
