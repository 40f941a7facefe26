import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { type Registry, startRegistry } from "../helpers/registry.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const other = makeHost();
const layout = join(host.dir, "layout");
let registry: Registry;

const layers = async (at: typeof host, name: string): Promise<{ id: string; path: string }[]> =>
  JSON.parse(await at.ok("base", "show", name, "--json")).layers;

beforeAll(async () => {
  registry = await startRegistry(join(host.dir, "registry"));
  const bottom = makeTree(join(host.dir, "bottom"));
  await must("cp", [join(bottom, "bin/busybox"), join(bottom, "bin/ping")]);
  await must("setcap", ["cap_net_raw+ep", join(bottom, "bin/ping")]);
  const top = join(host.dir, "top");
  mkdirSync(join(top, "etc"), { recursive: true });
  mkdirSync(join(top, "home/new"), { recursive: true });
  writeFileSync(join(top, "etc/motd"), "two layers\n");
  await must("mknod", [join(top, "etc/os-release"), "c", "0", "0"]);
  await must("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", join(top, "home")]);
  plantBase(host, "web", [top, bottom]);
});

afterAll(async () => {
  await registry?.stop();
  await host.remove();
  await other.remove();
});

describe("an exported image", () => {
  it("is what umoci and skopeo take for an image, and unpacks as the base", async () => {
    const digest = await host.ok("base", "export", "web", `oci:${layout}:1`);
    const stat = JSON.parse(await must("umoci", ["stat", "--image", `${layout}:1`, "--json"]));
    expect(stat.history.filter((entry: { empty_layer?: boolean }) => !entry.empty_layer)).toHaveLength(2);
    const inspected = JSON.parse(await must("skopeo", ["inspect", `oci:${layout}:1`]));
    expect(inspected).toMatchObject({ Digest: digest, Os: "linux" });
    const bundle = join(host.dir, "bundle");
    await must("umoci", ["unpack", "--image", `${layout}:1`, bundle]);
    const rootfs = join(bundle, "rootfs");
    expect(readdirSync(join(rootfs, "etc")).sort()).toEqual(["group", "motd", "passwd", "resolv.conf"]);
    expect(readdirSync(join(rootfs, "home"))).toEqual(["new"]);
    expect(await must("getcap", [join(rootfs, "bin/ping")])).toMatch(/cap_net_raw=ep$/);
  });

  it("runs with podman", async () => {
    const dir = mkdtempSync(join(host.dir, "podman-"));
    const storage = { driver: "overlay", graphroot: join(dir, "graph"), runroot: join(dir, "run") };
    const lines = Object.entries(storage).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    writeFileSync(join(dir, "storage.conf"), `[storage]\n${lines.join("\n")}\n`);
    const env = { CONTAINERS_STORAGE_CONF: join(dir, "storage.conf"), PATH: host.path };
    const limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
    const command = ["sh", "-c", "cat /etc/motd; ls /etc /home"];
    try {
      await must("skopeo", ["copy", "-q", `oci:${layout}:1`, "containers-storage:localhost/web:1"], { env });
      const run = ["--cgroup-manager=cgroupfs", "run", "--rm", "--runtime", "runc", "--network", "none"];
      const shown = await must("podman", [...run, ...limits, "localhost/web:1", ...command], { env });
      expect(shown).toMatch(/^two layers\n/);
      expect(shown).toMatch(/new$/);
      expect(shown).not.toMatch(/os-release/);
    } finally {
      await sh("umount", [join(dir, "graph/overlay")]);
    }
  });

  it("keeps its environment, command and user on the way through veneer", async () => {
    const config = [
      "--config.env",
      "GREETING=hi there",
      "--config.cmd",
      "/bin/sh",
      "--config.user",
      "1000:1000",
    ];
    await must("umoci", [
      "config",
      "--image",
      `${layout}:1`,
      "--tag",
      "2",
      ...config,
      "--config.workingdir",
      "/tmp",
    ]);
    await host.ok("base", "import", "configured", `oci:${layout}:2`);
    await host.ok("base", "export", "configured", `oci:${layout}:3`);
    const inspected = JSON.parse(await must("skopeo", ["inspect", "--config", `oci:${layout}:3`]));
    expect(inspected.config).toEqual({
      Env: ["GREETING=hi there"],
      Cmd: ["/bin/sh"],
      User: "1000:1000",
      WorkingDir: "/tmp",
    });
  });
});

describe("a base from an image", () => {
  it("runs with what the image says", async () => {
    const script = "echo $GREETING; pwd; id -u; id -g";
    const config = ["--config.entrypoint", "/bin/sh", "--config.entrypoint", "-c", "--config.cmd", script];
    const more = [
      "--config.env",
      "GREETING=hi there",
      "--config.workingdir",
      "/home",
      "--config.user",
      "5:6",
    ];
    await must("umoci", ["config", "--image", `${layout}:1`, "--tag", "run", ...config, ...more]);
    await host.ok("base", "import", "run", `oci:${layout}:run`);
    const outcome = await host.veneer("run", "run");
    expect(outcome).toEqual({ status: 0, stdout: "hi there\n/home\n5\n6", stderr: "" });
  });
});

describe("a registry", () => {
  const reference = () => `docker://${registry.address}/some/web:1`;

  it("takes a base from one store to another, each layer as it is", async () => {
    const digest = await host.ok("base", "export", "web", reference(), "--tls-verify=false");
    expect(await other.ok("base", "import", "web", reference(), "--tls-verify=false")).toBe("web@1");
    const [top, bottom] = await layers(other, "web");
    expect(await treeManifest(bottom?.path ?? "")).toBe(await treeManifest(join(host.dir, "bottom")));
    expect(readdirSync(top?.path ?? "").sort()).toEqual(["etc", "home"]);
    const pinned = `docker://${registry.address}/some/web@${digest}`;
    // the same image is no new version, unless that is asked for
    expect(await other.ok("base", "import", "web", pinned, "--tls-verify=false")).toBe("web@1");
    expect(await other.ok("base", "import", "web", pinned, "--tls-verify=false", "--always")).toBe("web@2");
    expect(await layers(other, "web")).toEqual([top, bottom]);
    await other.ok("base", "verify", "web");
  });

  it("has an image of umoci's too, whose layers are shared with what it stands on", async () => {
    const bundle = join(host.dir, "edited");
    await must("umoci", ["unpack", "--image", `${layout}:1`, bundle]);
    writeFileSync(join(bundle, "rootfs/etc/motd"), "changed\n");
    rmSync(join(bundle, "rootfs/etc/group"));
    await must("umoci", ["repack", "--image", `${layout}:4`, bundle]);
    const to = `docker://${registry.address}/some/edited:4`;
    await must("skopeo", ["copy", "-q", "--dest-tls-verify=false", `oci:${layout}:4`, to]);
    await other.ok("base", "import", "edited", to, "--tls-verify=false");
    const edited = await layers(other, "edited");
    expect(edited).toHaveLength(3);
    expect(edited.slice(1)).toEqual(await layers(other, "web"));
    await other.ok("base", "export", "edited", join(other.dir, "edited.tar"));
    const names = await must("tar", ["-tf", join(other.dir, "edited.tar")]);
    expect(names).toMatch(/^etc\/passwd$/m);
    expect(names).not.toMatch(/etc\/(group|os-release)$/m);
    expect(await must("tar", ["-xOf", join(other.dir, "edited.tar"), "etc/motd"])).toBe("changed");
  });

  it("is asked for an image once, with --once; an older version becomes the current one again", async () => {
    const once = (reference: string) =>
      other.veneer("base", "import", "once", `docker://${reference}`, "--once", "--tls-verify=false");
    const send = (tag: string) =>
      must("skopeo", ["copy", "-q", "--dest-tls-verify=false", `oci:${layout}:${tag}`, `docker://${at}`]);
    const at = `${registry.address}/some/once:latest`;
    await send("1");
    expect(await once(at)).toMatchObject({ status: 0, stdout: "once@1" });
    expect((await once(at)).stderr).toMatch(/exists already: version 1 is the current one/);
    const [{ origin }] = JSON.parse(await other.ok("base", "log", "once", "--json"));
    const pinned = /^import of docker:\/\/(.*@sha256:[0-9a-f]{64})$/.exec(origin)?.[1] ?? "";
    await send("4");
    expect(await once(at)).toMatchObject({ status: 0, stdout: "once@2" });
    expect(await once(pinned)).toMatchObject({ status: 0, stdout: "once@1" });
    const log = JSON.parse(await other.ok("base", "log", "once", "--json"));
    expect(log.map((row: { version: number; current: boolean }) => [row.version, row.current])).toEqual([
      [2, false],
      [1, true],
    ]);
    expect(await once(at)).toMatchObject({ status: 0, stdout: "once@2" });
    const nobody = await once("127.0.0.1:1/some/once:latest");
    expect(nobody).toMatchObject({ status: 1, stdout: "" });
    expect(nobody.stderr).toMatch(/^veneer: look up 'docker:\/\/.*refused/);
    expect((await other.veneer("base", "import", "once", layout, "--once")).status).toBe(2);
  });

  it("is not asked for layers that the store has", async () => {
    await host.ok("base", "edit", "web", "--", "/bin/touch", "/etc/edited");
    const to = `docker://${registry.address}/some/web:2`;
    await host.ok("base", "export", "web", to, "--tls-verify=false");
    // a layer that is fetched all the same is missed
    const large = ["-name", "data", "-size", "+100k"];
    const blobs = join(host.dir, "registry/blobs");
    await must("find", [blobs, ...large, "-execdir", "mv", "{}", "hidden", ";"]);
    try {
      expect(await other.ok("base", "import", "web", to, "--tls-verify=false")).toBe("web@3");
      const layered = await layers(other, "web");
      expect(layered).toHaveLength(3);
      expect(await treeManifest(layered[0]?.path ?? "")).toMatch(/^etc\/edited\|f/m);
      const empty = makeHost();
      const missed = await empty.veneer("base", "import", "web", to, "--tls-verify=false");
      await empty.remove();
      expect(missed).toMatchObject({ status: 1, stdout: "" });
    } finally {
      await must("find", [blobs, "-name", "hidden", "-execdir", "mv", "{}", "data", ";"]);
    }
  });

  it("is refused in one line when it has no such image, no certificate, or damaged content", async () => {
    const refused = async (source: string, message: RegExp, ...options: string[]) => {
      const outcome = await other.veneer("base", "import", "refused", source, ...options);
      expect(outcome.stderr).toMatch(message);
      expect(outcome).toMatchObject({ status: 1, stdout: "" });
      expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
      expect(readdirSync(join(other.root, "staging"))).toEqual([]);
    };
    await refused(reference(), /HTTPS client; hint: --tls-verify=false/);
    const missing = `docker://${registry.address}/some/web:9`;
    await refused(missing, /manifest unknown.*; hint: 'skopeo list-tags/, "--tls-verify=false");
    const send = await host.veneer("base", "export", "web", reference());
    expect(send).toMatchObject({ status: 1, stdout: "" });
    expect(send.stderr).toMatch(/HTTPS client; hint: --tls-verify=false/);
    const blobs = join(host.dir, "registry/blobs");
    const script = `find "$1" -name data -size +100k -exec sh -c 'printf x | dd of="$1" bs=1 seek=5000 conv=notrunc status=none' sh {} \\;`;
    await must("sh", ["-c", script, "sh", blobs]);
    const empty = makeHost();
    try {
      const outcome = await empty.veneer("base", "import", "web", reference(), "--tls-verify=false");
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).toMatch(/[Dd]igest did not match|does not match/);
      expect(readdirSync(join(empty.root, "layers"))).toEqual([]);
    } finally {
      await empty.remove();
    }
  });

  it("reads credentials where skopeo keeps them", async () => {
    // a file that is none of credentials shows that it was looked at
    const file = join(host.dir, "auth.json");
    writeFileSync(file, "no json");
    const env = { PATH: host.path, REGISTRY_AUTH_FILE: file };
    const args = ["base", "import", "refused", reference(), "--tls-verify=false"];
    const outcome = await sh(join(other.bin, "veneer"), args, { env });
    expect(outcome.stderr).toMatch(/invalid character 'o' in literal null/);
    expect(readFileSync(file, "utf8")).toBe("no json");
  });
});
