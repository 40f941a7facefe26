/** podman --uidmap: a base for containers with user namespaces. */
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeHost, must } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { IMAGE, makePodman, type Podman, ways } from "../helpers/podman.ts";
import { openTo } from "../helpers/userns.ts";

const host = makeHost();
let podman: Podman;
let tree: string;
let before: string;

beforeAll(async () => {
  tree = makeBase(host, "b");
  openTo(host);
  before = await treeManifest(tree);
  podman = await makePodman(host);
});
afterAll(async () => {
  await podman.removeAll();
  await host.remove();
});
afterEach(async () => {
  await podman.removeAll();
  await expect
    .poll(() => leftovers(host).filter((path) => !/^(store\/instances|run\/held)\//.test(path)))
    .toEqual([]);
  expect(await treeManifest(tree)).toBe(before);
});

const BASE = ["--annotation", "run.veneer.base=b", "--network", "none"];
const map = (first: number) => ["--uidmap", `0:${first}:65536`, "--gidmap", `0:${first}:65536`];
const KEPT = ["--annotation", "run.veneer.upper=persistent"];

describe.each(ways(host))("$name", ({ runtime, hook }) => {
  const run = async (...words: string[]) => {
    podman.useHook(hook);
    return podman.run(["--runtime", runtime, "run", "--rm", ...BASE, ...words]);
  };

  it("gives the base's owners inside, and takes changes", async () => {
    const script = `id -u; stat -c '%u:%g' / /etc/os-release /root; echo x >> /etc/os-release; chown 33:34 /etc/os-release
      stat -c '%u:%g' /etc/os-release; ls /etc/which 2>/dev/null || echo no image; sed 's/  */ /g' /proc/self/uid_map`;
    const outcome = await run(...map(100000), IMAGE, "sh", "-c", script);
    expect(outcome).toMatchObject({
      status: 0,
      stderr: "",
      stdout: "0\n0:0\n0:0\n0:0\n33:34\nno image\n 0 100000 65536",
    });
  });

  it("has volumes and a read-only root", async () => {
    const volume = join(host.dir, "volume");
    mkdirSync(volume, { recursive: true });
    await must("chown", ["200005:200005", volume]);
    const script = "stat -c %u /srv; touch /srv/x; touch /new 2>/dev/null || echo refused";
    const options = [...map(200000), "--read-only", "-v", `${volume}:/srv`];
    expect(await run(...options, IMAGE, "sh", "-c", script)).toMatchObject({
      status: 0,
      stdout: "5\nrefused",
    });
  });

  it("keeps an instance from one map to another and to none", async () => {
    const id = `kept-${runtime.split("/").at(-1)}-${hook}`.replace(".d", "");
    const named = [...KEPT, "--annotation", `run.veneer.instance=${id}`];
    expect(await run(...named, ...map(100000), IMAGE, "sh", "-c", "touch /a; chown 5:6 /a")).toMatchObject({
      status: 0,
    });
    const show = "stat -c '%u:%g' /a";
    expect(await run(...named, ...map(300000), IMAGE, "sh", "-c", show)).toMatchObject({ stdout: "5:6" });
    expect(await run(...named, IMAGE, "sh", "-c", show)).toMatchObject({ stdout: "5:6" });
  });
});

// podman looks for the ids of a user `containers`; the file is replaced in the test's own mount namespace
describe.skipIf(process.env.VENEER_TEST_NAMESPACE !== "private")("--userns=auto", () => {
  const files = ["/etc/subuid", "/etc/subgid"];

  beforeAll(async () => {
    const ranges = join(host.dir, "ranges");
    writeFileSync(ranges, "containers:1000000:1000000\n");
    for (const file of files) await must("mount", ["--bind", ranges, file]);
  });
  afterAll(async () => {
    for (const file of files) await must("umount", [file]);
  });

  it("gives each container maps of its own on the same base", async () => {
    // each waits for the other: maps are taken from what no container has at the time
    const barrier = mkdtempSync(join(host.dir, "barrier"));
    chmodSync(barrier, 0o777);
    const way = [
      "--runtime",
      join(host.bin, "veneer-runc"),
      "run",
      "--rm",
      "--userns=auto:size=2000",
      ...BASE,
      "-v",
      `${barrier}:/barrier`,
      IMAGE,
    ];
    podman.useHook("none");
    const script = `sed 's/  */ /g' /proc/self/uid_map; stat -c %u:%g /etc/os-release; touch /x; stat -c %u /x
      : > /barrier/$1; while [ ! -e /barrier/1 ] || [ ! -e /barrier/2 ]; do sleep 0.05; done`;
    const both = await Promise.all(
      ["1", "2"].map((number) => podman.run([...way, "sh", "-c", script, "sh", number])),
    );
    const lines = both.map(({ stdout }) => stdout.split("\n"));
    expect(lines.map(([, ...rest]) => rest)).toEqual([
      ["0:0", "0"],
      ["0:0", "0"],
    ]);
    expect(lines[0]?.[0]).not.toBe(lines[1]?.[0]);
  });
});
