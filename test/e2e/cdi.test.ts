/** Bases as devices of CDI: with the engine's own runtime, and no annotation. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { CRI_CONFIG, type Pods, startPods } from "../helpers/cri.ts";
import { CLIENT, type Docker, startDocker } from "../helpers/docker.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { IMAGE, makePodman, type Podman } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
/** engines look for specifications here and in /etc/cdi */
const PLACE = "/run/cdi";
const own = process.env.VENEER_TEST_NAMESPACE === "private";
const DEVICE = ["--device", "veneer.run/base=debian"];
const NET = ["--network", "none"];

beforeAll(async () => {
  const etc = join(host.dir, "etc");
  mkdirSync(join(etc, "cdi"), { recursive: true });
  mkdirSync(PLACE, { recursive: true });
  if (own) await must("mount", ["--bind", join(etc, "cdi"), PLACE]);
  await host.ok("base", "import", "debian", label(makeTree(join(host.dir, "base")), "base"));
  await host.ok("setup", "cdi", "--etc", etc);
});
afterAll(async () => {
  if (own) await must("umount", [PLACE]);
  await sh("rmdir", [PLACE]);
  await host.remove();
});

async function expectNothingLeft(): Promise<void> {
  await host.ok("gc");
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(veneerOverlays()).toEqual([]);
}

describe.runIf(own).each(["runc", "crun"])("podman with %s", (name) => {
  let podman: Podman;
  // the one that works on this host's control groups
  const runtime = existsSync(join(host.bin, name)) ? join(host.bin, name) : name;
  const run = (...args: string[]) => podman.run(["--runtime", runtime, "run", ...NET, ...args]);

  beforeAll(async () => {
    podman = await makePodman(host, `podman-${name}`);
    podman.useHook("none");
  });
  afterEach(async () => {
    await podman.removeAll();
    await expectNothingLeft();
  });

  it("gives a container the base of its device, with volumes and its own exit status", async () => {
    const volume = join(host.dir, `volume-${name}`);
    mkdirSync(volume);
    writeFileSync(join(volume, "file"), "of the volume\n");
    const outcome = await run(
      "--rm",
      ...DEVICE,
      "-v",
      `${volume}:/vol`,
      IMAGE,
      "sh",
      "-c",
      "cat /etc/which /vol/file; exit 7",
    );
    expect(outcome).toMatchObject({ status: 7, stdout: "base\nof the volume" });
  });

  it("leaves a container without that device alone", async () => {
    expect(await run("--rm", IMAGE, "cat", "/etc/which")).toMatchObject({ status: 0, stdout: "image" });
  });

  it("stops and starts it again", async () => {
    const id = (await run("-d", ...DEVICE, IMAGE, "sh", "-c", "cat /etc/which; exec sleep 100")).stdout;
    const logs = () => podman.ok("logs", id);
    await waitFor(async () => (await logs()) === "base");
    await podman.ok("stop", "-t", "0", id);
    await podman.ok("start", id);
    await waitFor(async () => (await logs()) === "base\nbase");
  });

  it("knows a base that came later, and no base that is gone", async () => {
    await host.ok("base", "new", "later", "--from", "debian");
    const device = ["--device", "veneer.run/base=later"];
    expect(await run("--rm", ...device, IMAGE, "cat", "/etc/which")).toMatchObject({
      status: 0,
      stdout: "base",
    });
    await host.ok("base", "rm", "later");
    const outcome = await run("--rm", ...device, IMAGE, "cat", "/etc/which");
    expect(outcome.status).not.toBe(0);
    expect(outcome.stdout).toBe("");
  });
});

const [, containerdMajor = 0, containerdMinor = 0] =
  /v?(\d+)\.(\d+)/.exec((await sh("containerd", ["--version"])).stdout)?.map(Number) ?? [];
const hasCdi = containerdMajor > 1 || containerdMinor >= 7;

describe.runIf(own && hasCdi)("containerd (CDI came with 1.7 and is on from 2.0 on)", () => {
  let pods: Pods;
  beforeAll(async () => {
    const settings = `enable_cdi = true\ncdi_spec_dirs = ["${PLACE}"]\n`;
    const config =
      containerdMajor > 1 ? CRI_CONFIG : CRI_CONFIG.replace("sandbox_image", `${settings}sandbox_image`);
    pods = await startPods(host, config);
  });
  afterAll(async () => {
    await pods?.stop();
  });

  it("gives a pod's container the base of its device, and no other container", async () => {
    const pod = await pods.makePod("", {});
    const on = await pod.start("on", "sleep 100", {}, ["veneer.run/base=debian"]);
    const off = await pod.start("off", "sleep 100");
    expect(await pod.exec(on, "cat", "/etc/which")).toBe("base\n");
    expect(await pod.exec(off, "cat", "/etc/which")).toBe("image\n");
    await expect(pod.start("none", "true", {}, ["veneer.run/base=nope"])).rejects.toThrow(
      /veneer.run\/base=nope/,
    );
    await pod.remove();
    await expectNothingLeft();
  });

  it.runIf(containerdMajor > 1)("gives ctr run the base of its device", async () => {
    const outcome = await pods.containerd.ctr(
      ...["-n", "k8s.io", "run", "--rm", "--fifo-dir", join(host.dir, "fifo")],
      ...[...DEVICE, "localhost/app:latest", "by-ctr", "/bin/cat", "/etc/which"],
    );
    expect(outcome).toMatchObject({ status: 0, stdout: "base" });
    await expectNothingLeft();
  });
});

const major = Number(/version ([0-9]+)/.exec((await sh(CLIENT, ["--version"])).stdout)?.[1]);

describe.runIf(own && major >= 25)("docker (CDI came with Docker 25)", () => {
  let engine: Docker;
  beforeAll(async () => {
    engine = await startDocker(host, { features: { cdi: true } });
    const tar = join(host.dir, "image.tar");
    await must("tar", ["-C", label(makeTree(join(host.dir, "image")), "image"), "-cf", tar, "."]);
    expect(await engine.docker("import", "--change", "ENV PATH=/bin", tar, "app")).toMatchObject({
      status: 0,
    });
  });
  afterEach(expectNothingLeft);
  afterAll(() => engine?.stop());
  const run = (...args: string[]) => engine.docker("run", ...NET, "--ulimit", "nofile=1024:1024", ...args);

  it("gives a container the base of its device, with the runtime that Docker has", async () => {
    const outcome = await run("--rm", ...DEVICE, "app", "sh", "-c", "cat /etc/which; exit 7");
    expect(outcome).toMatchObject({ status: 7, stdout: "base" });
    expect(await run("--rm", "app", "cat", "/etc/which")).toMatchObject({ status: 0, stdout: "image" });
  });

  it("restarts it on the base", async () => {
    expect(await run("--name", "again", ...DEVICE, "app", "cat", "/etc/which")).toMatchObject({
      stdout: "base",
    });
    expect(await engine.docker("start", "-a", "again")).toMatchObject({ status: 0, stdout: "base" });
    expect(await engine.docker("rm", "again")).toMatchObject({ status: 0 });
  });
});
