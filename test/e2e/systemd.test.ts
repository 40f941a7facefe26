/** Where systemd is process 1: runtimes that ask it for scopes, services with veneer in them, our units, machines. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { leftovers } from "../helpers/base.ts";
import { makeBundle, nextId, RUNTIMES } from "../helpers/bundle.ts";
import { makeHost, must, PROGRAM, PROJECT, sh, storeOptions } from "../helpers/host.ts";
import { IMAGE, makePodman } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";
import { wrapped } from "../helpers/wrapper.ts";

const isManaged = existsSync("/run/systemd/system");
const host = makeHost();
const units = "/run/systemd/system";
const ours = [PROGRAM, ...storeOptions(host)];
const unitNames: string[] = [];

beforeAll(async () => {
  if (isManaged) await host.ok("base", "import", "b", label(makeTree(join(host.dir, "tree")), "base"));
});
beforeEach((context) => {
  if (!isManaged) context.skip("needs systemd as process 1");
});
afterEach(() => expect.poll(() => leftovers(host)).toEqual([]));
afterAll(async () => {
  for (const name of unitNames) {
    await sh("systemctl", ["stop", name]);
    for (const path of [name, `${name}.d`]) rmSync(join(units, path), { recursive: true, force: true });
  }
  if (unitNames.length > 0) await must("systemctl", ["daemon-reload"]);
  await host.remove();
});

/** Gives systemd a unit until the tests end. */
async function addUnit(name: string, text: string): Promise<void> {
  unitNames.push(name);
  writeFileSync(join(units, name), text);
  await must("systemctl", ["daemon-reload"]);
}

describe.each(RUNTIMES)("veneer-%s --systemd-cgroup", (runtime) => {
  it("has the container in a scope of systemd's", async () => {
    const id = nextId();
    const script = "cat /etc/which /proc/self/cgroup";
    const bundle = makeBundle(join(host.dir, id), script, (config) => {
      config.annotations["run.veneer.base"] = "b";
      config.linux.cgroupsPath = `system.slice:veneer:${id}`;
    });
    const words = ["--systemd-cgroup", "run", "--bundle", bundle, id];
    const { status, stdout, stderr } = await wrapped(host, runtime, words);
    // runc warns of devices that the machine lacks
    expect([status, stderr.includes("veneer")]).toEqual([0, false]);
    expect(stdout).toMatch(/^base\n/);
    expect(stdout).toContain(`:/system.slice/veneer-${id}.scope`);
  });
});

describe("podman with systemd's control groups", () => {
  it("runs containers on the base by the wrapping runtime", async () => {
    const podman = await makePodman(host, "podman", "systemd");
    const options = ["--rm", "--network", "none", "--cgroupns", "host"];
    const annotation = ["--annotation", "run.veneer.base=b"];
    const script = ["sh", "-c", "cat /etc/which /proc/self/cgroup"];
    const runtime = join(host.bin, "veneer-runc");
    const found = await podman.ok("--runtime", runtime, "run", ...options, ...annotation, IMAGE, ...script);
    expect(found).toMatch(/^base\n(?:.*\n)*.*:\/machine\.slice\/libpod-[0-9a-f]{64}\.scope/);
    await podman.removeAll();
  });
});

describe("a service", () => {
  it("runs a container to its end, in a mount namespace of its own", async () => {
    const sandbox = ["PrivateTmp=yes", "ProtectHome=yes", "ProtectSystem=full"].flatMap((line) => [
      "-p",
      line,
    ]);
    // PrivateTmp hides this test's own directory: the store is bound back
    const bind = ["-p", `BindPaths=${host.dir}`];
    const command = [...ours, "run", "b", "--", "sh", "-c", "cat /etc/which; exit 7"];
    const words = ["--wait", "--pipe", "--quiet", "--collect", ...sandbox, ...bind, "--", ...command];
    expect(await sh("systemd-run", words)).toMatchObject({ status: 7, stdout: "base", stderr: "" });
  });

  it("ends its container when it is stopped", async () => {
    const name = "veneer-test-service.service";
    const script = "trap 'exit 0' TERM; touch /ready; while :; do sleep 0.1; done";
    const command = [...ours, "run", "b", "--name", "service", "--", "sh", "-c", `"${script}"`].join(" ");
    await addUnit(name, `[Service]\nType=exec\nExecStart=${command}\n`);
    await must("systemctl", ["start", name]);
    await waitFor(async () => (await host.ok("diff", "service")).includes("/ready"));
    expect(await host.ok("ps")).toMatch(/^service /m);
    await must("systemctl", ["stop", name]);
    expect(JSON.parse(await host.ok("ps", "--json"))).toEqual([]);
    expect(await must("systemctl", ["show", "-P", "Result", name])).toBe("success");
    await host.ok("rm", "service");
  });
});

describe("units", () => {
  it("of setup updates make a new version by their policy", async () => {
    const etc = join(host.dir, "etc");
    mkdirSync(join(etc, "bases.d"), { recursive: true });
    const config = join(etc, "config.json");
    writeFileSync(config, "{}");
    const policy = { source: { command: "echo new > /etc/which" }, schedule: "*-*-* 04:00", rollout: false };
    writeFileSync(join(etc, "bases.d/b.json"), JSON.stringify(policy));
    await host.ok("--config", config, "setup", "updates", "--etc", etc);
    const written = join(etc, "systemd/system");
    for (const name of readdirSync(written)) {
      if (!/\.(service|timer)$/.test(name)) continue;
      await addUnit(name, readFileSync(join(written, name), "utf8"));
    }
    await must("cp", ["-r", join(written, "veneer-update@b.timer.d"), units]);
    unitNames.push("veneer-update@b.timer");
    await must("systemctl", ["daemon-reload"]);
    await must("systemctl", ["start", "veneer-update@b.timer"]);
    expect(await must("systemctl", ["show", "-P", "TimersCalendar", "veneer-update@b.timer"])).toContain(
      "04:00:00",
    );
    await must("systemctl", ["start", "veneer-update@b.service"]);
    expect(await host.ok("run", "b", "--", "cat", "/etc/which")).toBe("new");
    await host.ok("base", "use", "b@1");
  });

  it("of the package tidy up, and mount what was mounted", async () => {
    for (const name of readdirSync(join(PROJECT, "hooks/systemd"))) {
      const text = readFileSync(join(PROJECT, "hooks/systemd", name), "utf8");
      await addUnit(name, text.replaceAll("/usr/bin/veneer", ours.join(" ")));
    }
    await host.ok("create", "kept", "b");
    const root = (await host.ok("mount", "kept")).trim();
    await must("umount", [root]);
    await must("systemctl", ["start", "veneer-gc.service", "veneer-mount.service", "veneer-gc.timer"]);
    expect(await must("cat", [join(root, "etc/which")])).toBe("base");
    expect(await must("systemctl", ["is-active", "veneer-gc.timer"])).toBe("active");
    await host.ok("umount", "kept");
    await host.ok("rm", "kept");
  });
});

describe("systemd-nspawn", () => {
  it("runs a machine on an instance that machinectl knows", async () => {
    await host.ok("create", "machine", "b");
    const root = (await host.ok("mount", "machine")).trim();
    const script = "cat /etc/which > /seen; exec sleep 1000";
    const words = ["--quiet", "--directory", root, "--machine", "veneer-test", "/bin/sh", "-c", script];
    const unit = "veneer-test-machine.service";
    await must("systemd-run", ["--quiet", "--collect", "--unit", unit, "--", "systemd-nspawn", ...words]);
    await waitFor(() => existsSync(join(root, "seen")));
    expect(await must("machinectl", ["show", "-p", "RootDirectory", "--value", "veneer-test"])).toBe(root);
    await must("machinectl", ["terminate", "veneer-test"]);
    await waitFor(async () => (await sh("systemctl", ["is-active", unit])).stdout !== "active");
    await host.ok("umount", "machine");
    expect(await host.ok("diff", "machine")).toContain("A /seen");
    await host.ok("rm", "machine");
  });
});

describe("setup nspawn", () => {
  const etc = "/run";
  const unit = (name: string) => `systemd-nspawn@${name}.service`;
  const place = (name: string) => join("/var/lib/machines", name);
  const setup = async (name: string, ...options: string[]) => {
    mkdirSync(join(etc, "systemd/nspawn"), { recursive: true });
    // the guest may have no module for it
    writeFileSync(join(etc, "systemd/nspawn", `${name}.nspawn`), "[Network]\nVirtualEthernet=no\n");
    await host.ok("setup", "nspawn", name, "--base", "machine", "--etc", etc, ...options);
    await must("systemctl", ["daemon-reload"]);
  };
  const stop = async (name: string) => {
    await must("machinectl", ["terminate", name]);
    await waitFor(async () => (await sh("systemctl", ["is-active", unit(name)])).stdout === "inactive");
  };
  const boots = (name: string) => readFileSync(join(place(name), "boots"), "utf8");
  const booted = (name: string, count: number) =>
    waitFor(() => existsSync(join(place(name), "boots")) && boots(name) === "up\n".repeat(count));

  beforeAll(async () => {
    if (!isManaged) return;
    const tree = makeTree(join(host.dir, "machine-tree"));
    mkdirSync(join(tree, "sbin"), { recursive: true });
    // SIGRTMIN+3 is by what systemd-nspawn asks the first process to end
    const script = "#!/bin/sh\ntrap 'exit 0' 37\necho up >>/boots\nwhile :; do sleep 1 & wait; done\n";
    writeFileSync(join(tree, "sbin/init"), script, { mode: 0o755 });
    mkdirSync(join(tree, "usr"), { recursive: true });
    await host.ok("base", "import", "machine", tree);
  });
  afterEach(async () => {
    for (const name of ["veneer-m1", "veneer-m2"]) {
      await sh("machinectl", ["terminate", name]);
      await sh("systemctl", ["stop", unit(name)]);
      await sh("systemctl", ["reset-failed", unit(name)]);
      if (isManaged) await host.ok("unsetup", "nspawn", name, "--etc", etc);
      rmSync(join(etc, "systemd/nspawn", `${name}.nspawn`), { force: true });
    }
    if (isManaged) await must("systemctl", ["daemon-reload"]);
  });

  it("gives a machine its root before it starts and takes it away after, fresh each time", async () => {
    await setup("veneer-m1");
    for (const _ of [1, 2]) {
      await must("machinectl", ["start", "veneer-m1"]);
      await booted("veneer-m1", 1);
      expect(JSON.parse(await host.ok("ls", "--json"))).toMatchObject([
        { id: "machine.veneer-m1", state: "mounted" },
      ]);
      await stop("veneer-m1");
      expect(readdirSync(place("veneer-m1"))).toEqual([]);
      expect(JSON.parse(await host.ok("ls", "--json"))).toEqual([]);
    }
    await host.ok("unsetup", "nspawn", "veneer-m1", "--etc", etc);
    expect(existsSync(place("veneer-m1"))).toBe(false);
  });

  it("keeps the writes of a persistent one, and removes nothing while it runs", async () => {
    await setup("veneer-m2", "--persistent");
    await must("machinectl", ["start", "veneer-m2"]);
    await booted("veneer-m2", 1);
    const refused = await host.veneer("unsetup", "nspawn", "veneer-m2", "--etc", etc);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining("machinectl poweroff") });
    await stop("veneer-m2");
    await must("machinectl", ["start", "veneer-m2"]);
    await booted("veneer-m2", 2);
    await stop("veneer-m2");
    expect(await host.ok("diff", "veneer-m2")).toContain("A /boots");
    await host.ok("rm", "veneer-m2");
  });

  it("starts no machine whose base is gone, with the reason in the journal", async () => {
    await setup("veneer-m1");
    await host.ok("base", "rm", "machine");
    expect((await sh("machinectl", ["start", "veneer-m1"])).status).not.toBe(0);
    const journal = await must("journalctl", ["-b", "--no-pager", "-u", unit("veneer-m1")]);
    expect(journal).toContain("no base machine");
    expect(readdirSync(place("veneer-m1"))).toEqual([]);
  });
});
