/** docker --userns-remap and ctr --uidmap: a base for containers with user namespaces. */
import { chownSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label, makeImage } from "../helpers/app-image.ts";
import { makeBase } from "../helpers/base.ts";
import { type Containerd, startContainerd } from "../helpers/containerd.ts";
import { type Docker, startDocker } from "../helpers/docker.ts";
import { type Host, makeHost, must, PROJECT } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { makeTree } from "../helpers/tree.ts";
import { openTo } from "../helpers/userns.ts";

const SCRIPT = `id -u; stat -c '%u:%g' / /etc/os-release /root; touch /a; chown 33:34 /a
  stat -c '%u:%g' /a; ls /etc/which 2>/dev/null || echo no image; sed 's/  */ /g' /proc/self/uid_map`;
const seen = (first: number) => `0\n0:0\n0:0\n0:0\n33:34\nno image\n 0 ${first} 65536`;
const isPrivate = process.env.VENEER_TEST_NAMESPACE === "private";

async function expectNothingLeft(host: Host): Promise<void> {
  await host.ok("gc");
  await expect.poll(() => leftovers(host)).toEqual([]);
}

// the ranges come from /etc/subuid, which is replaced for the test's own mount namespace
describe.skipIf(!isPrivate)("docker --userns-remap", () => {
  const host = makeHost();
  let engine: Docker;
  let tree: string;
  let before: string;

  beforeAll(async () => {
    tree = makeBase(host, "b");
    writeFileSync(join(tree, "etc/only"), "of the base\n");
    chownSync(join(tree, "etc/only"), 33, 34);
    before = await treeManifest(tree);
    openTo(host);
    const ranges = join(host.dir, "ranges");
    writeFileSync(ranges, "daemon:165536:65536\n");
    for (const file of ["/etc/subuid", "/etc/subgid"]) await must("mount", ["--bind", ranges, file]);
    engine = await startDocker(host, { "userns-remap": "daemon:daemon" });
    engine.configure({ environment: { bases: ["b"], instances: ["kept"] } });
    const tar = join(host.dir, "image.tar");
    await must("tar", ["-C", label(makeTree(join(host.dir, "image")), "image"), "-cf", tar, "."]);
    expect(await engine.docker("import", "--change", "ENV PATH=/bin", tar, "app")).toMatchObject({
      status: 0,
    });
  });
  afterAll(async () => {
    await engine?.stop();
    for (const file of ["/etc/subuid", "/etc/subgid"]) await must("umount", [file]);
    await host.remove();
  });

  it("gives the base's owners inside, and takes changes", async () => {
    const result = await engine.run("--rm", "-e", "VENEER_BASE=b", "app", "sh", "-c", SCRIPT);
    expect(result).toMatchObject({ status: 0, stderr: "", stdout: seen(165536) });
    await expectNothingLeft(host);
    expect(await treeManifest(tree)).toBe(before);
  });

  it("has the image above the base with VENEER_ROOTFS=layer, both with their owners", async () => {
    const script =
      "cat /etc/which; stat -c %u:%g / /etc/which /etc/only /tmp; touch /etc/only; stat -c %u /etc/only";
    const words = ["-e", "VENEER_BASE=b", "-e", "VENEER_ROOTFS=layer", "-e", "VENEER_UPPER=ephemeral"];
    const result = await engine.run("--rm", ...words, "app", "sh", "-c", script);
    expect(result).toMatchObject({ status: 0, stderr: "", stdout: "image\n0:0\n0:0\n33:34\n0:0\n33" });
    await expectNothingLeft(host);
    expect(await treeManifest(tree)).toBe(before);
  });

  it("keeps what a container wrote, in plain ids, also for one without a namespace", async () => {
    const words = ["-e", "VENEER_INSTANCE=kept", "-e", "VENEER_BASE=b", "-e", "VENEER_UPPER=persistent"];
    const write = "touch /a; chown 5:6 /a";
    expect(await engine.run("--rm", ...words, "app", "sh", "-c", write)).toMatchObject({
      status: 0,
      stderr: "",
    });
    const show = ["app", "stat", "-c", "%u:%g", "/a", "/etc"];
    expect(await engine.run("--rm", ...words, ...show)).toMatchObject({ stdout: "5:6\n0:0" });
    expect(await engine.run("--rm", "--userns", "host", ...words, ...show)).toMatchObject({
      stderr: "",
      stdout: "5:6\n0:0",
    });
    await host.ok("rm", "kept");
    await expectNothingLeft(host);
  });
});

describe("ctr --uidmap", () => {
  const host = makeHost();
  const IMAGE = "localhost/app:latest";
  let containerd: Containerd;
  let tree: string;
  let before: string;

  beforeAll(async () => {
    tree = makeBase(host, "b");
    before = await treeManifest(tree);
    openTo(host);
    const archive = await makeImage(host.dir, "app", label(makeTree(join(host.dir, "image")), "image"));
    // with --uidmap, ctr 1.6 forgets --runc-binary: the shim then calls the runc that is first on PATH
    const config = join(host.dir, "runc-first.json");
    const store = { root: host.root, run: host.run };
    writeFileSync(
      config,
      JSON.stringify({
        ...store,
        runtimes: { runc: ["/usr/sbin/runc", "/usr/bin/runc"].find((file) => existsSync(file)) },
      }),
    );
    const line = `exec ${join(PROJECT, "dist/veneer-runc")} --veneer-store '' '' ${config} "$@"`;
    writeFileSync(join(host.bin, "runc"), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    containerd = await startContainerd(host);
    const imported = await containerd.ctr("image", "import", "--base-name", "localhost/app", archive);
    expect(imported).toMatchObject({ status: 0 });
  });
  afterAll(async () => {
    await containerd?.stop();
    await host.remove();
  });

  it("gives the base's owners inside, and takes changes", async () => {
    const maps = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    const words = [
      "--rm",
      "--annotation",
      "run.veneer.base=b",
      ...maps,
      IMAGE,
      "c1",
      "/bin/sh",
      "-c",
      SCRIPT,
    ];
    expect(await containerd.run(...words)).toMatchObject({ status: 0, stderr: "", stdout: seen(100000) });
    await expectNothingLeft(host);
    expect(await treeManifest(tree)).toBe(before);
  });
});
