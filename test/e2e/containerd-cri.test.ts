/** Pods through containerd's CRI plugin, as Kubernetes makes them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { criConfig, type Pods, startPods } from "../helpers/cri.ts";
import { makeHost } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
let pods: Pods;
const makePod: Pods["makePod"] = (...words) => pods.makePod(...words);

beforeAll(async () => {
  const base = label(makeTree(join(host.dir, "base")), "base");
  writeFileSync(join(base, "of-the-base"), "below\n");
  await host.ok("base", "import", "debian", base);
  pods = await startPods(host, criConfig(host));
});

afterAll(async () => {
  await pods?.stop();
  await host.remove();
});

async function expectNothingLeft(): Promise<void> {
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(veneerOverlays()).toEqual([]);
}

const containersOf = async (): Promise<{ container: string }[]> => JSON.parse(await host.ok("ps", "--json"));

describe("a pod with the runtime class veneer", () => {
  it("has two containers on one base, each with an upper of its own; its sandbox stays as it is", async () => {
    const pod = await makePod("veneer", { "run.veneer.base": "debian" });
    expect(await containersOf()).toEqual([]);
    const first = await pod.start("first", "echo first >/etc/mine; sleep 100");
    const second = await pod.start("second", "echo second >/etc/mine; sleep 100");
    await expect.poll(() => pod.exec(first, "cat", "/etc/which", "/etc/mine")).toBe("base\nfirst\n");
    await expect.poll(() => pod.exec(second, "cat", "/etc/which", "/etc/mine")).toBe("base\nsecond\n");
    const running = (await containersOf()).map(({ container }) => container).sort();
    expect(running).toEqual([first, second].sort());
    expect(running).not.toContain(pod.id);
    await pods.cri.call("StopContainer", { container_id: first, timeout: 0 });
    await pods.cri.call("RemoveContainer", { container_id: first });
    expect(await pod.exec(second, "cat", "/etc/mine")).toBe("second\n");
    await pod.remove();
    await expectNothingLeft();
  });

  it("has a container's own annotation win over the pod's, and its output in the log", async () => {
    const pod = await makePod("veneer", { "run.veneer.base": "nope" });
    const id = await pod.start("only", "cat /etc/which; exit 7", { "run.veneer.base": "debian" });
    await expect
      .poll(() => pods.cri.call("ContainerStatus", { container_id: id }))
      .toMatchObject({ status: { exit_code: 7 } });
    expect(readFileSync(pod.log("only"), "utf8")).toMatch(/ stdout F base\n$/);
    await pod.remove();
    await expectNothingLeft();
  });

  it("puts the image above the base with run.veneer.rootfs=layer", async () => {
    const pod = await makePod("veneer", { "run.veneer.base": "debian", "run.veneer.rootfs": "layer" });
    const id = await pod.start("app", "sleep 100");
    expect(await pod.exec(id, "cat", "/etc/which", "/of-the-base")).toBe("image\nbelow\n");
    await pod.remove();
    await expectNothingLeft();
  });

  it("tells kubelet what is wrong when the base cannot be had", async () => {
    const pod = await makePod("veneer", { "run.veneer.base": "nope" });
    await expect(pod.start("app", "true")).rejects.toThrow(/veneer: start .*: no base nope in .*; hint: /);
    await pod.remove();
    await expectNothingLeft();
  });

  it("is an ordinary pod where it names no base", async () => {
    const pod = await makePod("veneer", {});
    const id = await pod.start("app", "sleep 100");
    expect(await pod.exec(id, "cat", "/etc/which")).toBe("image\n");
    expect(leftovers(host)).toEqual([]);
    await pod.remove();
  });
});

it("means nothing to a pod with another runtime class", async () => {
  const pod = await makePod("runc", { "run.veneer.base": "debian" });
  const id = await pod.start("app", "sleep 100");
  expect(await pod.exec(id, "cat", "/etc/which")).toBe("image\n");
  await pod.remove();
  await expectNothingLeft();
});
