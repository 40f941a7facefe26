/** Pods of podman, and play kube: the pod's own (infra) container stays on its image. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { IMAGE, makePodman, monitors, type Podman, ways } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
let podman: Podman;
const volume = join(host.dir, "volume");
const POD = join(host.dir, "pod.yaml");
const UNTIL_STOPPED = "trap exit TERM; while :; do sleep 0.1; done";

beforeAll(async () => {
  await host.ok("base", "import", "debian", label(makeTree(join(host.dir, "base")), "base"));
  mkdirSync(volume);
  podman = await makePodman(host);
  const container = (name: string, script: string) => ({
    name,
    image: IMAGE,
    imagePullPolicy: "Never",
    command: ["/bin/sh", "-c", `${script}; ${UNTIL_STOPPED}`],
    volumeMounts: [{ name: "shared", mountPath: "/srv/shared" }],
  });
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", annotations: { "run.veneer.base": "debian" } },
    spec: {
      hostNetwork: true,
      restartPolicy: "Never",
      containers: [
        container("one", "cat /etc/which; echo hello >/srv/shared/from-one; echo one >/only"),
        container(
          "two",
          "cat /etc/which; test -e /only || echo alone; wc -l </etc/resolv.conf >/dev/null && echo names",
        ),
      ],
      volumes: [{ name: "shared", hostPath: { path: volume, type: "Directory" } }],
    },
  };
  // JSON is YAML
  writeFileSync(POD, JSON.stringify(pod));
});

afterAll(async () => {
  await podman?.removeAll();
  await host.remove();
});

afterEach(() => podman.removeAll());

async function expectNothingLeft(): Promise<void> {
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(veneerOverlays()).toEqual([]);
  await waitFor(() => monitors(host.dir).length === 0);
}

describe.each(ways(host).filter(({ name }) => name !== "createRuntime with crun"))(
  "$name",
  ({ runtime, hook }) => {
    const ok = (...args: string[]) => podman.ok("--runtime", runtime, ...args);
    beforeAll(() => podman.useHook(hook));

    it("gives the containers of play kube the base of the pod's annotation, each its own writes", async () => {
      await ok("play", "kube", POD);
      await waitFor(async () => (await podman.ok("logs", "web-two")).includes("names"));
      expect(await podman.ok("logs", "web-one")).toBe("base");
      expect(await podman.ok("logs", "web-two")).toBe("base\nalone\nnames");
      expect((await sh("cat", [join(volume, "from-one")])).stdout).toBe("hello");
      expect(await podman.ok("ps", "--format", "{{.Status}}")).toMatch(/^Up .*\nUp .*\nUp .*$/);
      expect(JSON.parse(await host.ok("ps", "--json"))).toHaveLength(2);
      await ok("play", "kube", "--down", POD);
      await expectNothingLeft();
    });

    it("has containers with and without a base in one pod, through a restart of the pod", async () => {
      await ok("pod", "create", "--name", "mixed", "--network", "none");
      const run = (name: string, ...args: string[]) =>
        ok("run", "-d", "--pod", "mixed", "--name", name, ...args);
      const script = `cat /etc/which; ${UNTIL_STOPPED}`;
      await run("on-base", "--annotation", "run.veneer.base=debian", IMAGE, "sh", "-c", script);
      await run("on-image", IMAGE, "sh", "-c", script);
      await ok("pod", "restart", "mixed");
      await waitFor(async () => (await podman.ok("logs", "on-image")).split("\n").length === 2);
      await waitFor(async () => (await podman.ok("logs", "on-base")).split("\n").length === 2);
      expect(await podman.ok("logs", "on-base")).toBe("base\nbase");
      expect(await podman.ok("logs", "on-image")).toBe("image\nimage");
      await ok("pod", "rm", "-f", "-t", "1", "mixed");
      await expectNothingLeft();
    });
  },
);
