/** Docker with the wrapping runtime as one of its runtimes. */
import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { CLIENT, type Docker, startDocker } from "../helpers/docker.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const major = Number(/version ([0-9]+)/.exec((await sh(CLIENT, ["--version"])).stdout)?.[1]);
let engine: Docker;
const ALLOWED = { environment: { bases: ["deb*"] } };
const ON_BASE = ["-e", "VENEER_BASE=debian"];

beforeAll(async () => {
  await host.ok("base", "import", "debian", label(makeTree(join(host.dir, "base")), "base"));
  await host.ok("base", "import", "secret", join(host.dir, "base"));
  engine = await startDocker(host);
  const tar = join(host.dir, "image.tar");
  await must("tar", ["-C", label(makeTree(join(host.dir, "image")), "image"), "-cf", tar, "."]);
  expect(await engine.docker("import", "--change", "ENV PATH=/bin", tar, "app")).toMatchObject({ status: 0 });
});

beforeEach(() => engine.configure(ALLOWED));

afterAll(async () => {
  await engine?.stop();
  await host.remove();
});

const instances = () => readdirSync(join(host.root, "instances"));

async function expectNothingLeft(): Promise<void> {
  await host.ok("gc");
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(veneerOverlays()).toEqual([]);
}

describe("docker run", () => {
  it("gives the container the base that its environment names, and its exit status", async () => {
    const result = await engine.run(
      "--rm",
      ...ON_BASE,
      "app",
      "sh",
      "-c",
      "cat /etc/which; ls -A /tmp; exit 7",
    );
    expect(result).toMatchObject({ status: 7, stdout: "base" });
    await expectNothingLeft();
  });

  it("keeps its own hosts, host name and volumes on the base", async () => {
    const volume = join(host.dir, "a volume");
    mkdirSync(volume);
    const script = "cat /etc/hostname; grep -c localhost /etc/hosts; echo written >/data/file";
    const words = [
      "--rm",
      "--hostname",
      "web",
      "-v",
      `${volume}:/data`,
      ...ON_BASE,
      "app",
      "sh",
      "-c",
      script,
    ];
    const result = await engine.run(...words);
    expect(result.stdout).toMatch(/^web\n[1-9]/);
    expect(readdirSync(volume)).toEqual(["file"]);
    await expectNothingLeft();
  });

  it("leaves a container alone that names no base", async () => {
    expect(await engine.run("--rm", "app", "cat", "/etc/which")).toMatchObject({
      status: 0,
      stdout: "image",
    });
    expect(leftovers(host)).toEqual([]);
  });

  it("takes a read-only root, another user and an init process", async () => {
    const words = ["--rm", "--init", "--read-only", "-u", "1000:1000", ...ON_BASE, "app", "sh", "-c"];
    const result = await engine.run(...words, "id -u; echo >/home/x || cat /etc/which");
    expect(result.stdout).toBe("1000\nbase");
    await expectNothingLeft();
  });
});

// before 24 there is no such option
describe.skipIf(major < 24)(`docker run --annotation (Docker ${major})`, () => {
  const ANNOTATED = ["--annotation", "run.veneer.base=debian"];

  it("gives the container the base that it names, without a word in the configuration", async () => {
    engine.configure({});
    const result = await engine.run("--rm", ...ANNOTATED, "app", "sh", "-c", "cat /etc/which; exit 7");
    expect(result).toMatchObject({ status: 7, stdout: "base" });
    await expectNothingLeft();
  });

  it("wins over the environment", async () => {
    engine.configure({ environment: { bases: ["*"] } });
    const words = ["--rm", "-e", "VENEER_BASE=none", ...ANNOTATED, "app", "cat", "/etc/which"];
    expect(await engine.run(...words)).toMatchObject({ stdout: "base" });
    await expectNothingLeft();
  });

  it("may name what the configuration lets annotations name, and nothing else", async () => {
    engine.configure({ annotations: { bases: ["web-*"] } });
    const result = await engine.run("--rm", ...ANNOTATED, "app", "true");
    expect(result.status).toBe(125);
    expect(result.stderr).toContain("veneer: annotation run.veneer.base may not name 'debian'; hint: ");
    await expectNothingLeft();
  });

  it("keeps the writes until docker rm, or forgets them at each stop if told so", async () => {
    const script = "echo . >>/etc/starts; cat /etc/starts";
    expect(await engine.run("--name", "kept", ...ANNOTATED, "app", "sh", "-c", script)).toMatchObject({
      stdout: ".",
    });
    expect(await engine.docker("start", "-a", "kept")).toMatchObject({ stdout: ".\n." });
    await engine.docker("rm", "kept");
    expect(instances()).toHaveLength(1);
    await expectNothingLeft();
    expect(instances()).toEqual([]);
    const forgetful = [...ANNOTATED, "--annotation", "run.veneer.upper=ephemeral"];
    await engine.run("--name", "forgets", ...forgetful, "app", "sh", "-c", script);
    expect(await engine.docker("start", "-a", "forgets")).toMatchObject({ stdout: "." });
    await engine.docker("rm", "forgets");
    await expectNothingLeft();
  });

  it("puts the image above the base with run.veneer.rootfs=layer", async () => {
    const words = ["run.veneer.upper=ephemeral", "run.veneer.rootfs=layer"];
    const options = words.flatMap((text) => ["--annotation", text]);
    const script = "cat /etc/which; ls -A /tmp";
    expect(await engine.run("--rm", ...ANNOTATED, ...options, "app", "sh", "-c", script)).toMatchObject({
      status: 0,
      stdout: "image",
    });
    await expectNothingLeft();
  });
});

describe("what the environment may name", () => {
  it("is nothing where the configuration does not say so", async () => {
    engine.configure({});
    expect(await engine.run("--rm", ...ON_BASE, "app", "cat", "/etc/which")).toMatchObject({
      stdout: "image",
    });
    expect(leftovers(host)).toEqual([]);
  });

  it("is what the patterns match: all else stops the start with our message", async () => {
    const result = await engine.run("--rm", "-e", "VENEER_BASE=secret", "app", "cat", "/etc/which");
    expect(result.status).toBe(125);
    expect(result.stderr).toContain("veneer: environment variable VENEER_BASE may not name 'secret'; hint: ");
    const instance = await engine.run("--rm", ...ON_BASE, "-e", "VENEER_INSTANCE=db", "app", "true");
    expect(instance.stderr).toContain("environment variable VENEER_INSTANCE may not name 'db'");
    await expectNothingLeft();
  });

  it("shows our message when the base cannot be had", async () => {
    const result = await engine.run("--rm", "-e", "VENEER_BASE=debug", "app", "true");
    expect(result.status).toBe(125);
    expect(result.stderr).toMatch(/veneer: start \S+: no base debug in .*; hint: /);
    await expectNothingLeft();
  });
});

describe("a container's writes", () => {
  it("outlive stop, start and restart, the daemon's too, and go after docker rm", async () => {
    const script = "echo . >>/etc/starts; exec sleep 100";
    // the daemon waits for its containers when it ends
    const words = ["-d", "--name", "web", "--stop-signal", "KILL", ...ON_BASE, "app", "sh", "-c", script];
    expect(await engine.run(...words)).toMatchObject({ status: 0 });
    const starts = () => engine.docker("exec", "web", "wc", "-l", "/etc/starts");
    await expect.poll(starts).toMatchObject({ stdout: "1 /etc/starts" });
    expect((await engine.docker("stop", "-t", "0", "web")).status).toBe(0);
    await host.ok("gc");
    expect(instances()).toHaveLength(1);
    expect((await engine.docker("start", "web")).status).toBe(0);
    await expect.poll(starts).toMatchObject({ stdout: "2 /etc/starts" });
    expect((await engine.docker("restart", "-t", "0", "web")).status).toBe(0);
    await expect.poll(starts).toMatchObject({ stdout: "3 /etc/starts" });
    await engine.restart();
    expect((await engine.docker("start", "web")).status).toBe(0);
    await expect.poll(starts).toMatchObject({ stdout: "4 /etc/starts" });
    expect((await engine.docker("kill", "web")).status).toBe(0);
    expect((await engine.docker("rm", "web")).status).toBe(0);
    expect(instances()).toHaveLength(1);
    expect(await host.ok("gc", "--dry-run")).toContain("would free 1 instance");
    await expectNothingLeft();
    expect(instances()).toEqual([]);
  });

  it("stay where Docker's data cannot be looked at, whether or not another is in its place", async () => {
    await engine.run("--name", "kept", ...ON_BASE, "app", "sh", "-c", "echo mine >/etc/mine");
    const [id] = instances();
    const containers = join(engine.dataRoot, "containers");
    const away = join(engine.dataRoot, "away");
    renameSync(containers, away);
    try {
      const missing = await host.veneer("gc");
      expect(missing.status).toBe(1);
      expect(missing.stderr).toContain(`instance ${id}: ${containers}/`);
      mkdirSync(containers);
      expect((await host.veneer("gc")).stderr).toContain("cannot be looked for; hint: ");
      await must("rmdir", [containers]);
    } finally {
      renameSync(away, containers);
    }
    expect(instances()).toEqual([id]);
    await engine.docker("rm", "kept");
    await expectNothingLeft();
  });

  it("are forgotten at each stop with VENEER_UPPER=ephemeral", async () => {
    const words = ["--name", "forgets", "-e", "VENEER_UPPER=ephemeral", ...ON_BASE, "app", "sh", "-c"];
    const script = "test ! -e /etc/seen && echo >/etc/seen";
    expect(await engine.run(...words, script)).toMatchObject({ status: 0 });
    expect(await engine.docker("start", "-a", "forgets")).toMatchObject({ status: 0 });
    expect(instances()).toEqual([]);
    await engine.docker("rm", "forgets");
    await expectNothingLeft();
  });

  it("are the named instance's where one is allowed and named", async () => {
    engine.configure({ environment: { bases: ["*"], instances: ["db"] } });
    const words = [
      "--rm",
      "-e",
      "VENEER_INSTANCE=db",
      "-e",
      "VENEER_UPPER=persistent",
      ...ON_BASE,
      "app",
      "sh",
      "-c",
    ];
    expect(await engine.run(...words, "echo kept >/etc/kept")).toMatchObject({ status: 0 });
    await host.ok("gc");
    expect(await engine.run(...words, "cat /etc/kept")).toMatchObject({ stdout: "kept" });
    await host.ok("rm", "db");
    await expectNothingLeft();
  });
});

it("stays on its version of the base until cutover, with all its writes by rebase", async () => {
  const script = "echo . >>/etc/starts; cat /etc/which /etc/starts";
  expect(await engine.run("--name", "pinned", ...ON_BASE, "app", "sh", "-c", script)).toMatchObject({
    stdout: "base\n.",
  });
  const [id = ""] = instances();
  await host.ok("base", "import", "debian", label(join(host.dir, "base"), "second"));
  const start = () => engine.docker("start", "-a", "pinned");
  expect(await start()).toMatchObject({ stdout: "base\n.\n." });
  await host.ok("rebase", id, "debian");
  expect(await start()).toMatchObject({ stdout: "base\nsecond\n.\n.\n." });
  await host.ok("cutover", id, "debian@1");
  expect(await start()).toMatchObject({ stdout: "base\n." });
  await engine.docker("rm", "pinned");
  await expectNothingLeft();
});

it("makes one container's writes another's by clone, which is not Docker's any more", async () => {
  await engine.run("--name", "first", ...ON_BASE, "app", "sh", "-c", "echo mine >/etc/mine");
  await host.ok("clone", instances()[0] as string, "copy");
  await engine.docker("rm", "first");
  await host.ok("gc");
  expect(instances()).toEqual(["copy"]);
  expect(existsSync(join(host.root, "instances/copy/1/upper/etc/mine"))).toBe(true);
  await host.ok("rm", "copy");
  await expectNothingLeft();
});
