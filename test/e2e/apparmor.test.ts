/** Under AppArmor as Debian enforces it: LXC's own profiles, those of podman and Docker, and one for a bundle. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { leftovers } from "../helpers/base.ts";
import { startDocker } from "../helpers/docker.ts";
import { must } from "../helpers/host.ts";
import { begin, plantVersions, WAYS } from "../helpers/live.ts";
import { type Lxc, makeLxc } from "../helpers/lxc.ts";
import { IMAGE, makePodman } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";
import { grantIds, openTo } from "../helpers/userns.ts";
import { PATIENCE, waitFor } from "../helpers/wait.ts";

const FIRST = 200_000;
/** slow guests need longer than usual */
const PAUSE = ["--pause-limit", String(1000 * PATIENCE)];
const PROFILES = "/sys/kernel/security/apparmor/profiles";
const LXC_START = "/usr/bin/lxc-start (enforce)";
const OF_CONTAINERS = "lxc-container-default-cgns";

const host = useHost();
const lacking = missing();

beforeAll(() => {
  if (lacking) return;
  openTo(host);
  plantVersions(host);
});
beforeEach((context) => {
  if (lacking) context.skip(lacking);
});
afterEach(() => expect.poll(() => leftovers(host)).toEqual([]));

function missing(): string | undefined {
  let loaded: string;
  try {
    loaded = readFileSync(PROFILES, "utf8");
  } catch {
    return "needs AppArmor";
  }
  return loaded.includes(LXC_START) ? undefined : "needs LXC's profiles of AppArmor, loaded";
}

const profileOf = (pid: number | string) => readFileSync(`/proc/${pid}/attr/current`, "utf8").trim();

/** Runs `action` and returns what AppArmor has denied to veneer meanwhile. */
async function denials(action: () => Promise<void>): Promise<string[]> {
  const read = async () => (await must("dmesg", [])).split("\n");
  const { length } = await read();
  await action();
  const lines = (await read()).slice(length);
  return lines.filter((line) => line.includes('apparmor="DENIED"') && line.includes('comm="veneer"'));
}

describe.each([
  ["no", "/var/lib/lxc"],
  ["a", "/var/lib/lxc"],
  ["no", "another directory"],
  ["a", "another directory"],
] as const)("an LXC container with %s user namespace, in %s", (namespace, place) => {
  const isElsewhere = place !== "/var/lib/lxc";
  const own = "/etc/apparmor.d/usr.bin.lxc-start";
  const etc = join(host.dir, `etc-${namespace}`);
  const name = `profiled-${namespace}-${isElsewhere ? "elsewhere" : "there"}`;
  let directory: string;
  let lxc: Lxc;
  let revoke: () => Promise<unknown>;

  beforeAll(async () => {
    if (lacking) return;
    directory = mkdtempSync(isElsewhere ? "/tmp/veneer-lxc-" : `${place}/veneer-test-`);
    openTo(host, directory);
    lxc = makeLxc(host, join(directory, "lxc"));
    revoke = await grantIds(host, FIRST, 65_536);
    if (!isElsewhere) return;
    mkdirSync(join(etc, "lxc"), { recursive: true });
    cpSync("/etc/apparmor.d", join(etc, "apparmor.d"), { recursive: true });
    writeFileSync(join(etc, "lxc/lxc.conf"), `lxc.lxcpath = ${lxc.path}\n`);
    const { stderr } = await host.veneer("setup", "lxc", "--etc", etc);
    const [, command = ""] = /now: (apparmor_parser .*?);/.exec(stderr) ?? [];
    await must("sh", ["-c", `${command} --skip-cache --base ${etc}/apparmor.d`]);
  });
  afterAll(async () => {
    if (lacking) return;
    await lxc.stopAll();
    await revoke();
    rmSync(directory, { recursive: true });
    if (isElsewhere) await must("apparmor_parser", ["--skip-cache", "-r", own]);
  });

  it("starts, follows a live rebase and ends, in LXC's own profiles", async () => {
    lxc.container(name, {
      hook: `--base b@1 --instance ${name} --persistent`,
      lines: ["lxc.init.cmd = /bin/sleep 1000"],
      ...(namespace === "a" && { idmap: ["u", "g"].map((kind) => `${kind} 0 ${FIRST} 65536`) }),
    });
    const denied = await denials(async () => {
      const { status } = await lxc.tool("start", name, "-d");
      expect([status, lxc.log()]).toEqual([0, ""]);
      const { stdout: pid } = await lxc.tool("info", name, "-p", "-H");
      expect(profileOf(pid)).toBe(`${OF_CONTAINERS} (enforce)`);
      expect((await lxc.tool("attach", name, "--", "cat", "/etc/version")).stdout).toBe("1");
      await host.ok("rebase", name, "b@2", ...PAUSE);
      expect((await lxc.tool("attach", name, "--", "cat", "/etc/version")).stdout).toBe("2");
      expect(profileOf(pid)).toBe(`${OF_CONTAINERS} (enforce)`);
      expect(await lxc.tool("stop", name, "-k")).toMatchObject({ status: 0 });
      await waitFor(async () => (await host.ok("ps", "--json")) === "[]");
    });
    expect(denied).toEqual([]);
    await host.ok("rm", name);
  });
});

describe.each(WAYS)("a bundle with a profile, %s", (way) => {
  it("is confined, and follows a live rebase", async () => {
    const instance = way.replaceAll(" ", "-");
    const denied = await denials(async () => {
      const container = await begin(host, way, "exec sleep 1000", instance, (config) => {
        config.process.apparmorProfile = OF_CONTAINERS;
      });
      await waitFor(() => profileOf(container.pid) === `${OF_CONTAINERS} (enforce)`);
      await host.ok("rebase", instance, "b@2", ...PAUSE);
      expect(await container.exec("cat /etc/version /proc/self/attr/current")).toBe(
        `2\n${OF_CONTAINERS} (enforce)`,
      );
      await container.stop();
    });
    expect(denied).toEqual([]);
    await host.ok("rm", instance);
  });
});

describe("the engines' default profiles", () => {
  const script = ["sh", "-c", "cat /etc/version /proc/self/attr/current"];

  it("podman's is enforced on a base", async () => {
    const podman = await makePodman(host);
    const options = ["--rm", "--network", "none", "--annotation", "run.veneer.base=b@1"];
    const runtime = join(host.bin, "veneer-runc");
    expect(await podman.ok("--runtime", runtime, "run", ...options, IMAGE, ...script)).toMatch(
      /^1\ncontainers-default-\S+ \(enforce\)$/,
    );
    await podman.removeAll();
  });

  it("Docker's is enforced on a base", async () => {
    const engine = await startDocker(host);
    try {
      engine.configure({ environment: { bases: ["b"] } });
      const tar = join(host.dir, "image.tar");
      await must("tar", ["-C", makeTree(join(host.dir, "image")), "-cf", tar, "."]);
      await engine.docker("import", "--change", "ENV PATH=/bin", tar, "app");
      const words = ["--rm", "-e", "VENEER_BASE=b", "-e", "VENEER_UPPER=ephemeral", "app", ...script];
      const { stdout, stderr } = await engine.run(...words);
      expect([stderr, stdout]).toEqual(["", expect.stringMatching(/^2\ndocker-default \(enforce\)$/)]);
    } finally {
      await engine.stop();
    }
  });
});
