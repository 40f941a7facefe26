import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";

const host = makeHost();
const etc = join(host.dir, "etc");
const daemon = join(etc, "docker/daemon.json");
const ORIGINAL = '{\n    "log-driver": "json-file"\n}';
const setup = (...args: string[]) => host.veneer("setup", ...args, "--etc", etc);
const unsetup = (...args: string[]) => host.veneer("unsetup", ...args, "--etc", etc);

beforeEach(() => {
  mkdirSync(join(etc, "docker"), { recursive: true });
  writeFileSync(daemon, ORIGINAL, { mode: 0o640 });
});
afterAll(() => host.remove());

describe("setup", () => {
  it("prints a diff and changes nothing with --dry-run", async () => {
    const outcome = await setup("docker", "--dry-run");
    expect(outcome.stdout).toMatch(/^--- .*daemon\.json\n\+\+\+ .*daemon\.json\n@@/);
    expect(outcome.stdout).toMatch(/^\+.*veneer-runc/m);
    expect(readFileSync(daemon, "utf8")).toBe(ORIGINAL);
  });

  it("says what to restart, and changes nothing the second time", async () => {
    const first = await setup("docker");
    expect(first).toMatchObject({ status: 0, stdout: daemon });
    expect(first.stderr).toMatch(/now: systemctl reload docker/);
    const text = readFileSync(daemon, "utf8");
    const second = await setup("docker");
    expect(second).toMatchObject({ status: 0, stdout: "" });
    expect(readFileSync(daemon, "utf8")).toBe(text);
    await unsetup("docker");
    expect(readFileSync(daemon, "utf8")).toBe(ORIGINAL);
  });

  it("keeps a file that is a link, with its mode", async () => {
    const real = join(etc, "docker/real.json");
    rmSync(daemon);
    writeFileSync(real, ORIGINAL, { mode: 0o640 });
    symlinkSync("real.json", daemon);
    await setup("docker");
    expect(readlinkSync(daemon)).toBe("real.json");
    expect(JSON.parse(readFileSync(real, "utf8"))).toHaveProperty("runtimes.veneer");
    expect(statSync(real).mode & 0o777).toBe(0o640);
    await unsetup("docker");
    expect(readlinkSync(daemon)).toBe("real.json");
    expect(readFileSync(real, "utf8")).toBe(ORIGINAL);
    rmSync(daemon);
    rmSync(real);
  });

  it("refuses a file that it does not understand, and an engine that it does not know", async () => {
    writeFileSync(daemon, '{"runtimes": 1}');
    const outcome = await setup("docker");
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(
      /^veneer: .*daemon\.json is not what the engine expects: .*; hint: nothing was changed/,
    );
    expect((await setup("dokcer")).stderr).toMatch(/hint: did you mean docker\?/);
  });

  it.each([
    undefined,
    "version = 2\n",
    'version = 2\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni"\n',
  ])("makes files that the engines take: containerd, where there was %j", async (text) => {
    rmSync(join(etc, "containerd"), { recursive: true, force: true });
    mkdirSync(join(etc, "containerd"));
    if (text !== undefined) writeFileSync(join(etc, "containerd/config.toml"), text);
    await setup("containerd");
    const dump = await must("containerd", [
      "--config",
      join(etc, "containerd/config.toml"),
      "config",
      "dump",
    ]);
    expect(dump).toMatch(/runtimes\.veneer\.options\]\s+BinaryName = ".*veneer-runc"/);
    expect(dump).toMatch(/runtimes\.runc\]/);
  });

  it("gives containerd's handler the options of its runc, SystemdCgroup above all, and follows them", async () => {
    const file = join(etc, "containerd/config.toml");
    const runtimes = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes';
    const text = `version = 2 # ours
[${runtimes}.runc]
  runtime_type = "io.containerd.runc.v2"
  privileged_without_host_devices = true
  pod_annotations = ["other.*"]
  [${runtimes}.runc.options]
    SystemdCgroup = true # as kubelet has it
    BinaryName = "/opt/runc"
`;
    rmSync(join(etc, "containerd"), { recursive: true, force: true });
    mkdirSync(join(etc, "containerd"));
    writeFileSync(file, text);
    const handler = async () => {
      const dump = await must("containerd", ["--config", file, "config", "dump"]);
      return dump.slice(dump.indexOf("runtimes.veneer]"));
    };
    await setup("containerd");
    expect(await handler()).toMatch(/privileged_without_host_devices = true/);
    expect(await handler()).toMatch(/pod_annotations = \["run\.veneer\.\*"\]/);
    expect(await handler()).toMatch(/BinaryName = ".*\/veneer-runc"/);
    expect(await handler()).toMatch(/SystemdCgroup = true/);
    expect(await setup("containerd")).toMatchObject({ status: 0, stdout: "" });
    const before = readFileSync(file, "utf8");
    writeFileSync(file, before.replace("SystemdCgroup = true # as", "SystemdCgroup = false # as"));
    expect((await setup("containerd")).stdout).toBe(file);
    expect(await handler()).toMatch(/SystemdCgroup = false/);
    await unsetup("containerd");
    expect(readFileSync(file, "utf8")).toContain('BinaryName = "/opt/runc"');
    expect(readFileSync(file, "utf8")).not.toContain("veneer");
  });

  it("makes files that the engines take: podman", async () => {
    await setup("podman");
    const conf = join(etc, "containers/containers.conf.d/veneer.conf");
    const storage = ["--root", join(host.dir, "graph"), "--runroot", join(host.dir, "runroot")];
    const args = [...storage, "--runtime", "veneer", "info", "--format", "{{.Host.OCIRuntime.Path}}"];
    expect(await must("podman", args, { env: { CONTAINERS_CONF: conf } })).toMatch(/veneer-runc$/);
    expect(readFileSync(conf, "utf8")).toContain(
      `hooks_dir = ["/usr/share/containers/oci/hooks.d", "${etc}/containers/oci/hooks.d"]`,
    );
    const hook = JSON.parse(readFileSync(join(etc, "containers/oci/hooks.d/veneer.json"), "utf8"));
    expect(hook).toMatchObject({ version: "1.0.0", hook: { env: [expect.stringMatching(/^PATH=/)] } });
    await unsetup("podman");
    expect(existsSync(conf)).toBe(false);
  });
});

describe("unsetup", () => {
  it("takes only its own part out of a file that somebody changed since", async () => {
    await setup("docker");
    const changed = JSON.parse(readFileSync(daemon, "utf8"));
    writeFileSync(daemon, JSON.stringify({ ...changed, debug: true }));
    await unsetup("docker");
    expect(JSON.parse(readFileSync(daemon, "utf8"))).toEqual({
      "log-driver": "json-file",
      runtimes: {},
      debug: true,
    });
  });

  it("does nothing where nothing is set up", async () => {
    expect(await unsetup("docker")).toMatchObject({ status: 0, stdout: "" });
    expect(readFileSync(daemon, "utf8")).toBe(ORIGINAL);
  });
});
