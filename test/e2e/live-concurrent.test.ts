/** A running container that is given another root while other commands look at it, or change it too. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { must } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { begin, failure, plantVersions, type Running } from "../helpers/live.ts";
import { injectAt, traceTo } from "../helpers/strace.ts";
import { useHost } from "../helpers/use-host.ts";
import { waitFor } from "../helpers/wait.ts";

const host = useHost();
beforeAll(() => plantVersions(host));

let container: Running;
beforeEach(async () => {
  // each turn is a new program, of the root that the container has by then: nothing stays on the one before
  const turn = "cat /etc/version >/seen; sleep 0.02; exec /bin/sh /turn";
  const command = `echo mine >/mine; echo '${turn}' >/turn; exec /bin/sh /turn`;
  container = await begin(host, "runc wrapped", command, undefined);
});
afterEach(async () => {
  await container.stop();
  await host.ok("gc");
  await expect.poll(() => leftovers(host)).toEqual([]);
});

async function expectOn(version: number): Promise<void> {
  expect(await container.exec("cat /etc/version /mine")).toBe(`${version}\nmine`);
  await expect.poll(() => container.exec("cat /seen")).toBe(String(version));
}

it("of three rebases at once one moves it, and the others say that it is being rebased, or are late", async () => {
  for (let round = 1; round <= 10; round++) {
    const version = (round % 2) + 1;
    const all = await Promise.all([1, 2, 3].map(() => host.veneer("rebase", container.id, `b@${version}`)));
    const failed = all.map(failure).filter((text) => text !== "");
    for (const text of failed) expect(text).toMatch(/is being rebased or copied by another veneer process/);
    expect(failed.length).toBeLessThan(3);
    await expectOn(version);
  }
});

it("lists see it as running all the time", async () => {
  let going = true;
  const rebases = (async () => {
    for (let round = 1; round <= 10; round++) await host.ok("rebase", container.id, `b@${(round % 2) + 1}`);
    going = false;
  })();
  for (let looks = 0; going; looks++) {
    expect([looks, (await host.ok("ps")).includes(container.id)]).toEqual([looks, true]);
  }
  await rebases;
});

const isThere = (pid: number) => existsSync(`/proc/${pid}`);

it("gc that has read its record before the rebase leaves it alone", async () => {
  const trace = join(host.dir, "trace");
  const gc = [join(host.bin, "veneer"), "gc"];
  await must("strace", [...traceTo(trace, "openat"), ...gc]);
  const stop = [...injectAt(trace, "openat", "/records/", "signal=STOP"), "-e", "signal=SIGSTOP"];
  const looking = spawn("strace", [...stop, ...gc], { stdio: "ignore" });
  const log = `${trace}-injected`;
  const stopped = () => [
    ...(existsSync(log) ? readFileSync(log, "utf8").matchAll(/^(\d+) .*stopped by SIGSTOP/gm) : []),
  ];
  await waitFor(() => stopped().length > 0);
  await host.ok("rebase", container.id, "b@2");
  await expect.poll(() => host.ok("ps", "--stale", "--json")).toBe("[]");
  // strace counts for each thread: another may be stopped as well
  await waitFor(() => {
    for (const [, pid] of stopped()) if (isThere(Number(pid))) process.kill(Number(pid), "SIGCONT");
    return looking.exitCode !== null;
  });
  expect(looking.exitCode).toBe(0);
  expect(await host.ok("ps")).toContain(container.id);
  await expectOn(2);
});
