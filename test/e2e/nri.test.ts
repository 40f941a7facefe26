/** Pods of containerd that get their base by the plugin of NRI, with the node's own handler. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execaSync } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { CRI_CONFIG, type Pods, startPods } from "../helpers/cri.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";

const [, major = 0, minor = 0] =
  /v?(\d+)\.(\d+)/.exec(execaSync("containerd", ["--version"], { reject: false }).stdout)?.map(Number) ?? [];
const has = major > 1 || minor >= 7;
if (!has) it.skip(`containerd ${major}.${minor} has no NRI: it came with 1.7`, () => {});

describe.runIf(has)("a pod without a runtime class, with the plugin of NRI", () => {
  const host = makeHost();
  const etc = join(host.dir, "node/etc");
  const plugins = join(host.dir, "node/opt/nri/plugins");
  let pods: Pods;
  const makePod: Pods["makePod"] = (...words) => pods.makePod(...words);

  beforeAll(async () => {
    mkdirSync(etc, { recursive: true });
    const base = label(makeTree(join(host.dir, "base")), "base");
    await host.ok("base", "import", "debian", base);
    await host.ok("setup", "nri", "--etc", etc);
    const nri = `[plugins."io.containerd.nri.v1.nri"]
disable = false
plugin_path = "${plugins}"
plugin_config_path = "${etc}/nri"
socket_path = "${host.dir}/nri.sock"
`;
    pods = await startPods(host, CRI_CONFIG + nri);
  });
  afterAll(async () => {
    await pods?.stop();
    await host.remove();
  });

  async function expectNothingLeft(): Promise<void> {
    await expect.poll(() => leftovers(host)).toEqual([]);
    expect(veneerOverlays()).toEqual([]);
  }

  it("has its containers on the base, each with an upper of its own; its sandbox stays as it is", async () => {
    const pod = await makePod("", { "run.veneer.base": "debian" });
    const first = await pod.start("first", "echo first >/etc/mine; sleep 100");
    const second = await pod.start("second", "echo second >/etc/mine; sleep 100");
    await expect.poll(() => pod.exec(first, "cat", "/etc/which", "/etc/mine")).toBe("base\nfirst\n");
    await expect.poll(() => pod.exec(second, "cat", "/etc/which", "/etc/mine")).toBe("base\nsecond\n");
    const running: { container: string; engine: string }[] = JSON.parse(await host.ok("ps", "--json"));
    expect(running.map(({ container }) => container).sort()).toEqual([first, second].sort());
    expect(running.every(({ engine }) => engine === "oci")).toBe(true);
    await pod.remove();
    await expectNothingLeft();
  });

  it("has the other annotations too, a container's own before the pod's", async () => {
    const pod = await makePod("", {
      "run.veneer.base": "debian",
      "run.veneer.upper": "persistent",
      "run.veneer.instance": "kept",
    });
    const id = await pod.start("app", "echo mine >/etc/mine; sleep 100");
    await expect.poll(() => pod.exec(id, "cat", "/etc/mine")).toBe("mine\n");
    await pod.remove();
    await expect.poll(() => host.ok("diff", "kept")).toContain("A /etc/mine");
    await host.ok("rm", "kept");
    await host.ok("gc");
    await expectNothingLeft();
  });

  it("is told what is wrong when the base cannot be had", async () => {
    const pod = await makePod("", { "run.veneer.base": "nope" });
    await expect(pod.start("app", "true")).rejects.toThrow(/veneer: .*no base nope in .*; hint: /);
    await pod.remove();
    await expectNothingLeft();
  });

  it("is an ordinary pod where it names no base", async () => {
    const pod = await makePod("", {});
    const id = await pod.start("app", "sleep 100");
    expect(await pod.exec(id, "cat", "/etc/which")).toBe("image\n");
    expect(leftovers(host)).toEqual([]);
    await pod.remove();
  });

  it("needs a plugin that runs: it is a small process, which ends with containerd", async () => {
    const { stdout } = await sh("pgrep", ["-f", `veneer --root ${host.root} .*nri$`]);
    expect(stdout).toMatch(/^[0-9]+$/);
    const memory = readFileSync(`/proc/${stdout}/status`, "utf8");
    expect(Number(/^VmRSS:\s+(\d+)/m.exec(memory)?.[1])).toBeLessThan(16_000);
    await pods.containerd.stop();
    await expect.poll(() => sh("kill", ["-0", stdout])).toMatchObject({ status: 1 });
  });
});

describe("veneer nri", () => {
  const host = makeHost();
  afterAll(() => host.remove());

  it("is started by containerd alone, from the file that setup writes", async () => {
    expect(await host.veneer("nri")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("'veneer setup nri'"),
    });
    const etc = join(host.dir, "etc");
    const file = join(host.dir, "opt/nri/plugins/50-veneer");
    expect(await host.ok("setup", "nri", "--etc", etc)).toBe(file);
    expect(readFileSync(file, "utf8")).toMatch(/^#!\/bin\/sh\nexec \S+\/veneer .*--root \S+ .*nri\n$/);
    writeFileSync(join(host.dir, "not a socket"), "");
    const odd = await sh("sh", ["-c", `NRI_PLUGIN_SOCKET=3 exec "${file}" 3<"${host.dir}/not a socket"`]);
    expect(odd).toMatchObject({ status: 1, stderr: expect.stringContaining("EBADF") });
    expect((await host.veneer("unsetup", "nri", "--etc", etc)).status).toBe(0);
    expect((await sh("test", ["-e", file])).status).toBe(1);
  });
});
