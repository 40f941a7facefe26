/** Two stores may have instances of one name: what is done to one is not done to the other's container. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeHost } from "../helpers/host.ts";
import { begin, plantVersions, type Running } from "../helpers/live.ts";

const hosts = [makeHost(), makeHost()] as const;
const running: Running[] = [];

beforeAll(() => hosts.forEach(plantVersions));
afterAll(async () => {
  for (const host of hosts) await host.remove();
});

const versions = () => running.map(({ pid }) => readFileSync(`/proc/${pid}/root/etc/version`, "utf8"));

it("each shows, and moves, its own", async () => {
  try {
    for (const host of hosts) {
      await host.ok("create", "web1", "b@1");
      running.push(await begin(host, "runc wrapped", "while :; do sleep 1; done", "web1"));
    }
    for (const [index, host] of hosts.entries()) {
      expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([{ pid: running[index]?.pid }]);
    }
    // the second was started later, and shows the same source in its mount table
    await hosts[1].ok("rebase", "web1", "b@2");
    expect(versions()).toEqual(["1\n", "2\n"]);
    await hosts[0].ok("rebase", "web1", "b@2");
    await hosts[1].ok("rollout", "b@1");
    expect(versions()).toEqual(["2\n", "1\n"]);
  } finally {
    for (const one of running) await one.stop();
  }
});
