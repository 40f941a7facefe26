/** Containers of LXC, podman, Docker and containerd are given another root while they run. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { label, makeImage } from "../helpers/app-image.ts";
import { plantBase } from "../helpers/base.ts";
import { type Containerd, startContainerd } from "../helpers/containerd.ts";
import { type Docker, startDocker } from "../helpers/docker.ts";
import { must, type Outcome, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { begin, failure, mountsOf } from "../helpers/live.ts";
import { type Lxc, makeLxc } from "../helpers/lxc.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { partsOf } from "../helpers/parts.ts";
import { IMAGE, makePodman, type Podman, ways } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
const volume = join(host.dir, "volume");

beforeAll(() => {
  for (const version of [1, 2]) {
    const tree = label(makeTree(join(host.dir, `tree${version}`)), `version ${version}`);
    plantBase(host, "debian", tree, version);
  }
  mkdirSync(volume);
});
afterEach(async () => {
  await host.ok("gc");
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(veneerOverlays()).toEqual([]);
});

function makeDirectory(name: string): string {
  const dir = join(host.dir, name);
  mkdirSync(dir);
  return dir;
}

const LOOP =
  "echo mine >/etc/mine; exec 7>>/log; while :; do echo x >&7; cat /etc/which >/seen; sleep 0.05; done";

/** Moves the one container that runs onto version 2 and back; `exec` is the engine's own. */
async function expectFollows(
  exec: (script: string) => Promise<Outcome>,
  stop: () => Promise<unknown>,
): Promise<void> {
  const [running] = JSON.parse(await host.ok("ps", "--json"));
  const id = running.instance ?? running.container;
  const written = (name: string) => {
    const path = `/proc/${running.pid}/root/${name}`;
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };
  await expect.poll(() => written("seen")).toBe("version 1\n");
  const before = mountsOf(running.pid);
  for (const version of [2, 1, 2]) {
    expect(await host.veneer("rebase", id, `debian@${version}`)).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/was paused for [0-9.]+ ms/),
    });
    expect(mountsOf(running.pid)).toEqual(before);
    expect(await exec("cat /etc/which /etc/mine")).toMatchObject({
      status: 0,
      stdout: `version ${version}\nmine`,
    });
    await expect.poll(() => written("seen")).toBe(`version ${version}\n`);
    const { length } = written("log");
    await expect.poll(() => written("log").length).toBeGreaterThan(length);
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
      // post-stop has the parts merged
      const one = { parts: undefined, folded: undefined, left: [] };
      await expect.poll(() => partsOf(host, name)).toEqual(one);
      await host.ok("rm", name);
    }
  });
});

/** What `cutover --restart` makes of the container of `instance`: a fresh upper on version 2. */
async function expectRestarts(instance: string, exec: (script: string) => Promise<Outcome>): Promise<void> {
  const output = async (script: string) => (await exec(script)).stdout.trim();
  await expect.poll(() => output("cat /seen")).toBe("version 1");
  await exec("touch /only-before");
  expect(failure(await host.veneer("cutover", instance, "debian@2", "--restart"))).toBe("");
  await expect.poll(() => output("cat /seen")).toBe("version 2");
  expect(await output("ls /only-before 2>/dev/null || echo none")).toBe("none");
}

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

  it("cutover --restart stops and starts a container, unless it goes when it stops", async () => {
    const env = { ...podman.env };
    podman.useHook("none");
    const runtime = join(host.bin, "veneer-runc");
    const kept = ["--annotation", "run.veneer.base=debian", "--annotation", "run.veneer.instance=again"];
    const words = [...kept, "--annotation", "run.veneer.upper=persistent", "--network", "none", ...LIMITS];
    const start = (...more: string[]) =>
      podman.ok(
        "--runtime",
        runtime,
        "run",
        "-d",
        "--stop-timeout",
        "0",
        ...more,
        ...words,
        IMAGE,
        "sh",
        "-c",
        LOOP,
      );
    await host.ok("create", "again", "debian@1");
    const cutover = () =>
      sh(join(host.bin, "veneer"), ["cutover", "again", "debian@2", "--restart"], { env });

    await start("--name", "goes", "--rm");
    expect(await cutover()).toMatchObject({ status: 1, stderr: expect.stringContaining("(--rm)") });
    await podman.removeAll();

    await start("--name", "live");
    const exec = (script: string) => podman.run(["--runtime", runtime, "exec", "live", "sh", "-c", script]);
    await expect.poll(async () => (await exec("cat /seen")).stdout).toBe("version 1");
    expect(failure(await cutover())).toBe("");
    await expect.poll(async () => (await exec("cat /seen")).stdout).toBe("version 2");
    await podman.removeAll();
    await host.ok("gc");
    await host.ok("rm", "again");
  });
});

describe("cutover --restart", () => {
  it("stops and starts a container of LXC", async () => {
    const lxc = makeLxc({ ...host, dir: makeDirectory("restart") });
    const script = join(host.dir, "loop");
    writeFileSync(script, LOOP);
    lxc.container("again", {
      hook: "--base debian --persistent",
      lines: [
        "lxc.init.cmd = /bin/sh /loop",
        `lxc.mount.entry = ${script} loop none bind,ro,create=file`,
        "lxc.signal.halt = SIGKILL",
      ],
    });
    await host.ok("create", "again", "debian@1");
    expect(await lxc.tool("start", "again", "-d")).toMatchObject({ status: 0 });
    await expectRestarts("again", (command) => lxc.tool("attach", "again", "--", "/bin/sh", "-c", command));
    await lxc.stopAll();
    await host.ok("gc");
    await host.ok("rm", "again");
  });

  it("refuses what it does not know how to start", async () => {
    await host.ok("create", "plain", "debian@1");
    const container = await begin(host, "runc wrapped", "sleep 100", "plain", (config) => {
      config.annotations["run.veneer.base"] = "debian";
    });
    expect(await host.veneer("cutover", "plain", "debian@2", "--restart")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("cannot tell which engine started container"),
    });
    expect(await container.exec("cat /etc/which")).toBe("version 1");
    await container.stop();
    await host.ok("gc");
    await host.ok("rm", "plain");
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

  it("a container", async () => {
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
