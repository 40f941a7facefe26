/** An instance is for those it was made for: no name that somebody chooses is a key to another's files. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Config, makeBundle, nextId } from "../helpers/bundle.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost("/srv");
beforeAll(() => {
  plantBase(host, "b", makeTree(join(host.dir, "tree")), 1);
  const { root, run } = host;
  const environment = { bases: ["*"], instances: ["*"] };
  writeFileSync(join(host.dir, "veneer.json"), JSON.stringify({ root, run, environment }));
});
afterAll(() => host.remove());

interface Tenant {
  /** containerd's namespace; none: a runtime that is called by hand */
  readonly namespace?: string;
  readonly pods?: string;
}
const DOCKER: Tenant = { namespace: "moby" };
const OTHER: Tenant = { namespace: "default" };
const TEAM_A: Tenant = { namespace: "k8s.io", pods: "team-a" };
const TEAM_B: Tenant = { namespace: "k8s.io", pods: "team-b" };

/** A container of a tenant that writes a secret, or shows the one that is there. */
async function container(
  { namespace, pods }: Tenant,
  asked: Record<string, string>,
  { id = nextId(), edit }: { id?: string; edit?: (config: Config) => void } = {},
) {
  const task = namespace === undefined ? "bundles" : `io.containerd.runtime.v2.task/${namespace}`;
  const bundle = join(host.dir, task, id);
  mkdirSync(dirname(bundle), { recursive: true });
  makeBundle(bundle, "cat /secret 2>/dev/null; echo SECRET >/secret", (config) => {
    Object.assign(
      config.annotations,
      asked,
      pods !== undefined && { "io.kubernetes.cri.sandbox-namespace": pods },
    );
    edit?.(config);
  });
  const words = ["--root", join(host.dir, "state"), "run", "-b", bundle, id];
  const { status, stdout, stderr } = await sh(join(host.bin, "veneer-runc"), words, {
    env: { PATH: host.path },
  });
  return status === 0 ? (stdout === "" ? "fresh" : stdout) : (/\[([A-Z_]+)\]$/.exec(stderr)?.[1] ?? stderr);
}

const named = (instance: string) => ({
  "run.veneer.base": "b",
  "run.veneer.instance": instance,
  "run.veneer.upper": "persistent",
});
const lasting = { "run.veneer.base": "b", "run.veneer.upper": "persistent" };

describe("an instance that an annotation named", () => {
  it.each([
    ["Docker's", DOCKER, [OTHER, TEAM_A, {}]],
    ["a Kubernetes namespace's", TEAM_A, [TEAM_B, DOCKER, OTHER]],
    ["a runtime's that is called by hand", {}, [DOCKER, TEAM_A]],
  ] as const)("is %s from one container to the next, and nobody else's", async (what, own, others) => {
    const instance = `made-${what.replace(/[^a-z]/gi, "").toLowerCase()}`;
    expect(await container(own, named(instance))).toBe("fresh");
    expect(await container(own, named(instance))).toBe("SECRET");
    for (const other of others) expect(await container(other, named(instance))).toBe("NOT_ALLOWED");
  });

  it("is not reached by a pod that says it is of another namespace than Kubernetes put it in", async () => {
    await container(TEAM_A, named("kept"));
    const liar = { ...named("kept"), "io.kubernetes.cri.sandbox-namespace": "team-a" };
    expect(await container(DOCKER, liar)).toBe("NOT_ALLOWED");
  });

  it("is not given to a container that is called so, by annotation or by environment", async () => {
    await container(DOCKER, named("tenant-a"));
    expect(await container(DOCKER, lasting, { id: "tenant-a" })).toBe("NOT_ALLOWED");
    const edit = ({ process }: Config) => process.env.push("VENEER_BASE=b", "VENEER_UPPER=persistent");
    expect(await container(DOCKER, {}, { id: "tenant-a", edit })).toBe("NOT_ALLOWED");
  });
});

describe("an instance that is called after its container", () => {
  it("is that container's each time, and no annotation or variable names it", async () => {
    expect(await container(DOCKER, lasting, { id: "implied" })).toBe("fresh");
    expect(await container(DOCKER, lasting, { id: "implied" })).toBe("SECRET");
    expect(await container(DOCKER, named("implied"))).toBe("NOT_ALLOWED");
    const edit = ({ process }: Config) => process.env.push("VENEER_BASE=b", "VENEER_INSTANCE=implied");
    expect(await container(DOCKER, {}, { edit })).toBe("NOT_ALLOWED");
    expect(await container(OTHER, lasting, { id: "implied" })).toBe("NOT_ALLOWED");
  });
});

describe("an instance that the administrator made", () => {
  it("is for whoever may name it, and not for a container that is called so", async () => {
    await host.ok("create", "common", "b");
    expect(await container(DOCKER, named("common"))).toBe("fresh");
    expect(await container(TEAM_A, named("common"))).toBe("SECRET");
    expect(await container(DOCKER, lasting, { id: "common" })).toBe("NOT_ALLOWED");
  });

  it("is the administrator's too where it is a copy of a tenant's", async () => {
    await container(TEAM_A, named("original"));
    await host.ok("clone", "original", "copied");
    expect(await container(TEAM_B, named("copied"))).toBe("SECRET");
  });
});
