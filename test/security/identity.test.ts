/** Names in a mount table are text that anyone who may mount chooses: nobody is taken for another by them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Attacker, attack, lyingOverlay } from "../helpers/attacker.ts";
import { nextId, runtime } from "../helpers/bundle.ts";
import { makeHost, must } from "../helpers/host.ts";
import { begin, plantVersions, type Running } from "../helpers/live.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost("/srv");
const attackers: Attacker[] = [];
beforeAll(() => plantVersions(host));
afterEach(async () => {
  for (const attacker of attackers.splice(0)) await attacker.stop();
});
afterAll(() => host.remove());

const LOOP = "echo VICTIM-SECRET > /etc/secret; chmod 600 /etc/secret; while :; do sleep 0.1; done";

async function liar(script: string): Promise<Attacker> {
  const attacker = await attack(script);
  attackers.push(attacker);
  return attacker;
}

/** An attacker whose root is an overlay named `source`; prints each second what it sees of the victim's. */
function rootedLiar(source: string): Promise<Attacker> {
  return liar(`${lyingOverlay(source, "")}
    cd m; mount --rbind /proc proc; pivot_root . old; cd /; exec 3<&1
    bin/busybox umount -l /old; echo ready
    while :; do bin/busybox test ! -e /etc/secret || bin/busybox cat /etc/secret; bin/busybox sleep 0.1; done`);
}

const shows = (pid: number, source: string) =>
  readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(source);

/** What `ps` shows of an instance. */
async function running(instance: string): Promise<readonly unknown[]> {
  const rows = JSON.parse(await host.ok("ps", "--json")) as { instance: string | null }[];
  return rows.filter((row) => row.instance === instance);
}

/** Its record, with the name of the file. */
function recordOf(instance: string) {
  const dir = join(host.run, "records");
  for (const name of readdirSync(dir)) {
    const record = JSON.parse(readFileSync(join(dir, name), "utf8"));
    if (record.instance === instance) return { record, file: join(dir, name) };
  }
  throw new Error(`no record of ${instance}`);
}

describe.each(["runc wrapped", "runc with the hook"])(
  "%s, beside one who mounts an overlay of the same name",
  (way) => {
    let victim: Running;
    const instance = `web-${way.replace(/[^a-z]/g, "")}`;

    it("a rebase reaches the container alone", async () => {
      const attacker = await rootedLiar(`veneer:${instance}`);
      expect(shows(attacker.pid, `veneer:${instance} `)).toBe(true);
      victim = await begin(host, way, LOOP, instance);
      expect(await running(instance)).toMatchObject([{ instance, pid: victim.pid }]);
      await host.ok("rebase", instance, "b@2");
      expect(await victim.exec("cat /etc/version")).toBe("2");
      expect(shows(attacker.pid, victim.id)).toBe(false);
      // where the new root would have been shown to it
      await waitFor(async () => (await victim.exec("cat /etc/secret")) === "VICTIM-SECRET");
      expect(attacker.output().trim()).toBe("ready");
    });

    it("inspect, ps and a fallback name the container's own process", async () => {
      await rootedLiar(`veneer:${instance}`);
      expect(await running(instance)).toMatchObject([{ instance, pid: victim.pid }]);
      expect(JSON.parse(await host.ok("inspect", instance, "--json"))).toMatchObject({ state: "running" });
    });
  },
);

describe("what a liar mounts keeps nothing alive", () => {
  /** Ends a container so that no hook runs: its record stays. */
  async function orphan(instance: string): Promise<void> {
    const container = await begin(host, "runc wrapped", LOOP, instance);
    process.kill(container.pid, "SIGKILL");
    await expect
      .poll(async () => JSON.parse((await runtime(host, "runc", ["state", container.id])).stdout).status)
      .toBe("stopped");
    // forgotten without its hooks
    await must("rm", ["-rf", join(host.dir, "state", container.id)]);
  }

  it("a tmpfs of the instance's name", async () => {
    await orphan("named");
    await liar("mkdir m; mount -t tmpfs veneer:named m; echo ready; exec sleep 1000");
    await waitFor(async () => (await running("named")).length === 0);
    expect(await host.ok("gc")).toMatch(/^freed [0-9]+ record/);
    await host.ok("rm", "named");
  });

  it("an overlay that names the instance's own upper", async () => {
    await orphan("faked");
    const upper = join(host.root, "instances/faked/1/upper");
    await liar(`mount -t tmpfs t ${host.dir.replace(/\/[^/]*$/, "")}
      mkdir -p '${upper}' '${upper.replace(/upper$/, "work")}' l m
      mount -t overlay veneer:faked -o 'userxattr,lowerdir=l,upperdir=${upper},workdir=${upper.replace(/upper$/, "work")}' m
      grep -q 'upperdir=${upper}' /proc/self/mountinfo; echo ready; exec sleep 1000`);
    await waitFor(async () => (await running("faked")).length === 0);
    const ls = JSON.parse(await host.ok("ls", "--json")) as { id: string; state: string }[];
    expect(ls.find(({ id }) => id === "faked")).toMatchObject({ state: "stopped" });
    await host.ok("rm", "faked");
  });

  it("overlays that get the device number of one that is gone", async () => {
    const name = "recycled";
    await orphan(name);
    const { record, file } = recordOf(name);
    expect(record).toMatchObject({ instance: name, overlay: { device: expect.stringMatching(/^0:/) } });
    const attacker =
      await liar(`mkdir l e; for i in $(seq 200); do mkdir m$i; mount -t overlay veneer:${name} -o lowerdir=l:e m$i
      grep -q ' ${record.overlay.device} / ' /proc/self/mountinfo && break; done; echo ready; exec sleep 1000`);
    expect(shows(attacker.pid, ` ${record.overlay.device} / `)).toBe(true);
    expect(await running(name)).toEqual([]);
    await host.ok("gc");
    expect(existsSync(file)).toBe(false);
    await host.ok("rm", name);
  });
});

describe("an instance that is mounted by hand", () => {
  const start = async (id: string) => {
    await host.ok("create", id, "b@1");
    // a place of its own: the removal of veneer's, as of any mount point, takes the copies of the mount along
    const target = join(host.dir, `mnt-${id}`);
    mkdirSync(target);
    await host.ok("mount", id, target);
    writeFileSync(join(target, "etc/mine"), "mine\n");
    return target;
  };

  it("is neither unmounted nor changed by a rebase that another mount namespace does not allow", async () => {
    const id = nextId();
    const target = await start(id);
    const keeper = await attackAsRoot();
    try {
      for (const verb of ["rebase", "cutover"]) {
        const refused = await host.veneer(verb, id, "b@2");
        expect(refused).toMatchObject({ status: 1 });
        expect(refused.stderr).toMatch(/lives on in another mount namespace/);
        expect(readFileSync(join(target, "etc/version"), "utf8")).toBe("1\n");
        expect(readFileSync(join(target, "etc/mine"), "utf8")).toBe("mine\n");
        expect(JSON.parse(await host.ok("inspect", id, "--json"))).toMatchObject({ state: "mounted" });
      }
      await host.ok("umount", id);
      const ls = JSON.parse(await host.ok("ls", "--json")) as { id: string; state: string }[];
      expect(ls.find((one) => one.id === id)).toMatchObject({ state: "in-use" });
      expect((await host.veneer("mount", id)).stderr).toMatch(/is mounted, but veneer has no record of it/);
    } finally {
      keeper();
    }
    await waitFor(async () => (await host.veneer("rebase", id, "b@2")).status === 0);
    expect(readFileSync(join((await host.ok("mount", id)).trim(), "etc/mine"), "utf8")).toBe("mine\n");
    await host.ok("umount", id);
  });

  it("is not taken for what somebody else mounted on its place", async () => {
    const id = nextId();
    const target = await start(id);
    await must("mount", ["-t", "tmpfs", `veneer:${id}`, target]);
    expect(await host.veneer("umount", id)).toMatchObject({ status: 1 });
    await must("umount", [target]);
    await host.ok("umount", id);
  });
});

/** A process of root's in a copy of this mount namespace; returns what ends it. */
async function attackAsRoot(): Promise<() => void> {
  const { spawn } = await import("node:child_process");
  const child = spawn("unshare", ["-m", "sh", "-c", "echo ready; exec sleep 1000"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return () => process.kill(child.pid as number, "SIGKILL");
}
