/** A rollout over containers that run and serve: checked from the host, and back when a version is no good. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { detach, hookAt, makeBundle, nextId, type Runtime, runtime } from "../helpers/bundle.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { readMaybe } from "../helpers/load.ts";
import { makeTree } from "../helpers/tree.ts";
import { storeArguments } from "../helpers/wrapper.ts";

const host = makeHost();
const SERVE = "echo mine >/etc/own; httpd -p 127.0.0.1:8080 -h /; while :; do sleep 1; done";
/** Its web server, asked from the host in its own network namespace. */
const HEALTHY = `nsenter -t "$VENEER_PID" -n busybox wget -qO- http://127.0.0.1:8080/etc/health`;
const ids = { web1: nextId(), web2: nextId(), web3: nextId() } as const;
const ephemeral = nextId();
const all = [...Object.values(ids), ephemeral];
const pids: Record<string, number> = {};

async function begin(name: Runtime, id: string, way: "hook" | "wrapper", instance?: string): Promise<void> {
  const bundle = makeBundle(join(host.dir, id), SERVE, (config) => {
    const words = [
      "--base",
      "debian",
      ...(instance === undefined ? [] : ["--instance", instance, "--persistent"]),
    ];
    if (way === "hook") hookAt(config, host, "createRuntime", ...words);
    else {
      config.annotations["run.veneer.base"] = "debian";
      if (instance !== undefined) {
        config.annotations["run.veneer.instance"] = instance;
        config.annotations["run.veneer.upper"] = "persistent";
      }
    }
  });
  const words = ["--root", join(host.dir, "state"), "run", "-d", "--bundle", bundle, id];
  const call =
    way === "hook" ? [name, ...words] : [join(host.bin, `veneer-${name}`), ...storeArguments(host), ...words];
  expect(await detach(host, call[0] as string, call.slice(1))).toMatchObject({ status: 0 });
  pids[id] = JSON.parse((await runtime(host, name, ["state", id])).stdout).pid;
}

beforeAll(async () => {
  for (const version of [1, 2, 3]) {
    const tree = makeTree(join(host.dir, `tree ${version}`));
    writeFileSync(join(tree, "etc/health"), `version ${version}\n`);
    // the version that is no good
    if (version === 3) rmSync(join(tree, "etc/health"));
    plantBase(host, "debian", tree, version);
  }
  await host.ok("base", "use", "debian@1");
  await begin("runc", ids.web1, "wrapper", "web1");
  await begin("runc", ids.web2, "hook", "web2");
  await begin("crun", ids.web3, "wrapper", "web3");
  await begin("runc", ephemeral, "wrapper");
  await host.ok("create", "idle", "debian");
});
afterAll(async () => {
  for (const id of all) await runtime(host, id === ids.web3 ? "crun" : "runc", ["delete", "--force", id]);
  await host.remove();
});

const health = async () =>
  await Promise.all(
    all.map(
      async (id) =>
        (
          await sh("sh", ["-c", HEALTHY], {
            env: { ...process.env, VENEER_PID: `${pids[id]}` } as Record<string, string>,
          })
        ).stdout,
    ),
  );
const behind = async () =>
  JSON.parse(await host.ok("ps", "--json")).map((row: { behind: number }) => row.behind);

async function rollout(...words: string[]) {
  const { status, stdout, stderr } = await host.veneer("rollout", "debian", ...words, "--json");
  return { status, stderr, ...JSON.parse(stdout) };
}

describe("a rollout over running containers", () => {
  it("tells who would be moved", async () => {
    await host.ok("base", "use", "debian@2");
    const { status, members } = await rollout("--dry-run");
    expect([status, members]).toMatchObject([0, Array(5).fill({ state: "planned" })]);
    // their shells and servers are the same in both versions
    expect(members.flatMap(({ stale }: { stale: unknown[] }) => stale)).toEqual([]);
  });

  it("moves all of them, which go on with what they have", async () => {
    const { status, members } = await rollout("--canary", "1", "--batch", "2", "--check", HEALTHY);
    expect([status, members]).toMatchObject([
      0,
      [...Array(4).fill({ state: "checked" }), { id: "idle", state: "moved" }],
    ]);
    for (const member of members.slice(0, 4)) expect(member.pause).toBeGreaterThan(0);
    expect(members.flatMap(({ stale }: { stale: unknown[] }) => stale)).toEqual([]);
    expect(await health()).toEqual(Array(4).fill("version 2"));
    for (const id of all) expect(readMaybe(`/proc/${pids[id]}/root/etc/own`)).toBe("mine\n");
    expect(await behind()).toEqual([0, 0, 0, 0]);
  });

  it("takes all of them back from a version that is no good", async () => {
    await host.ok("base", "use", "debian@3");
    const { status, outcome, members } = await rollout("--check", HEALTHY);
    expect([status, outcome, members]).toMatchObject([1, "back", Array(5).fill({ state: "back" })]);
    expect(members[0].message).toMatch(/404/);
    expect(await health()).toEqual(Array(4).fill("version 2"));
    expect(await behind()).toEqual([1, 1, 1, 1]);
    expect((await host.veneer("rollout", "debian@2")).stderr).toContain("nothing to do");
  });
});
