/** A container at work is rebased again and again, and nothing of its work gets lost. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { detach, makeBundle, nextId, runtime } from "../helpers/bundle.ts";
import { makeHost, must } from "../helpers/host.ts";
import { begin, plantVersions } from "../helpers/live.ts";
import {
  endWork,
  faultsOf,
  growth,
  LOAD_COMMAND,
  type LoadClient,
  makeLoadTree,
  readMaybe,
  residentMemory,
  startClient,
} from "../helpers/load.ts";
import { mountTable } from "../helpers/mounts.ts";
import { waitFor } from "../helpers/wait.ts";
import { storeArguments } from "../helpers/wrapper.ts";

/** npm run proof sets more */
const ROUNDS = Number(process.env.VENEER_PROOF_ROUNDS ?? 5);

const host = makeHost();
const id = nextId();
let pid = 0;
let client: LoadClient | undefined;

beforeAll(async () => {
  for (const version of [1, 2]) {
    plantBase(host, "debian", await makeLoadTree(join(host.dir, `tree ${version}`), version), version);
  }
  await host.ok("create", "web1", "debian@1");
  const bundle = makeBundle(join(host.dir, "bundle"), LOAD_COMMAND, (config) => {
    config.annotations = { "run.veneer.base": "debian@1", "run.veneer.instance": "web1" };
    config.mounts.push({ destination: "/run", type: "tmpfs", source: "tmpfs" });
  });
  const words = ["--root", join(host.dir, "state"), "run", "-d", "--bundle", bundle, id];
  const started = await detach(host, join(host.bin, "veneer-runc"), [...storeArguments(host), ...words]);
  expect(started).toMatchObject({ status: 0 });
  pid = JSON.parse((await runtime(host, "runc", ["state", id])).stdout).pid;
});
const end = () => runtime(host, "runc", ["delete", "--force", id]);
afterAll(async () => {
  client?.kill();
  await end();
  await host.remove();
});

const root = () => `/proc/${pid}/root`;
const measure = async () => ({
  own: readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n").length,
  host: mountTable(),
  memory: await residentMemory(pid),
});
const inside = async (...words: string[]) => (await runtime(host, "runc", ["exec", id, ...words])).stdout;

describe(`a container at work that is rebased ${ROUNDS} times`, () => {
  it("loses no request, no line and no transaction, and grows by nothing", {
    timeout: ROUNDS * 20_000,
  }, async () => {
    const words = ["sqlite3", "/var/lib/load.db"];
    await waitFor(() => readMaybe(join(root(), "var/log/held")).includes("line 5\n"));
    client = await startClient(pid);
    const before = await measure();
    const pauses: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const version = (round % 2) + 1;
      const { live } = JSON.parse(await host.ok("rebase", "web1", `debian@${version}`, "--json"));
      pauses.push(live.pause);
      expect(await inside("cat", "/etc/version")).toBe(`version ${version}`);
    }
    const after = await measure();
    const [record] = JSON.parse(`[${await must("sh", ["-c", `cat ${join(host.run, "records")}/*`])}]`);
    const file = join(host.root, "instances/web1/instance.json");
    const { parts, folded = 0 } = JSON.parse(readFileSync(file, "utf8"));
    const { requests, failures, slowest, bodies } = await client.stop();
    const last = await endWork(root());

    expect(failures).toEqual([]);
    expect(readMaybe(join(root(), "run/errors"))).toBe("");
    // the server answered from both versions, so that the rebases fell into the load
    expect(Object.keys(bodies)).toEqual(expect.arrayContaining(["version 1\n", "version 2\n"]));
    for (const name of ["held", "reopened"] as const) {
      const text = await must("cat", [join(root(), "var/log", name)]);
      expect([name, faultsOf(`${text}\n`, last[name])]).toEqual([name, []]);
    }
    expect(await inside(...words, "PRAGMA integrity_check")).toBe("ok");
    const counted = "select count(*), max(n), (select count from total) from line";
    expect(await inside(...words, counted)).toBe(Array(3).fill(last.database).join("|"));
    expect([after.own, after.host]).toEqual([before.own, before.host]);
    // the shells and the server; what they run for a moment comes and goes
    expect(before.memory.size).toBeGreaterThan(4);
    const grown = growth(before.memory, after.memory);
    expect(grown).toBeLessThan(1000);
    // the first root, on which the shells and the server still are, and few others
    expect(record.remains.length).toBeLessThan(5);
    expect([parts, parts - folded < 16]).toEqual([ROUNDS, true]);
    if (process.env.VENEER_PROOF_ROUNDS !== undefined) {
      const sorted = [...pauses].sort((a, b) => a - b);
      console.log(
        `${ROUNDS} rebases, ${requests} requests (slowest ${slowest.toFixed(0)} ms), ${last.held + last.reopened} lines, ${last.database} transactions; pause: median ${sorted[ROUNDS >> 1]?.toFixed(1)} ms, longest ${sorted.at(-1)?.toFixed(1)} ms; processes grew by ${grown} kB; ${record.remains.length} roots of before, ${parts - folded + 1} parts`,
      );
    }
  });
});

describe("a container that is moved more often than its upper may have parts", () => {
  it("still tells which of its processes are on the first version", { timeout: 120_000 }, async () => {
    await end();
    plantVersions(host);
    await host.ok("create", "web2", "b@1");
    const live = await begin(host, "runc wrapped", "exec /bin/sleep 1000", "web2");
    try {
      for (let round = 1; round <= 17; round++) await host.ok("rebase", "web2", `b@${(round % 2) + 1}`);
      const { folded } = JSON.parse(readFileSync(join(host.root, "instances/web2/instance.json"), "utf8"));
      expect(folded).toBeGreaterThan(0);
      expect(JSON.parse(await host.ok("ps", "--stale", "--all", "--json"))).toMatchObject([
        { instance: "web2", pid: live.pid, path: "/bin/busybox" },
      ]);
    } finally {
      await live.stop();
    }
  });
});
