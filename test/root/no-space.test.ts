import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Host, makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

// A file system with room for some instances and no more.
const outside = makeHost();
const small = join(outside.dir, "small");
let host: Host;

beforeAll(async () => {
  mkdirSync(small);
  await must("mount", ["-t", "tmpfs", "-o", "size=512k,nr_inodes=64", "small", small]);
  host = makeHost(small);
  plantBase(host, "b", makeTree(join(outside.dir, "base")));
});
afterAll(async () => {
  await must("umount", ["-l", small]);
  await outside.remove();
});

const ids = async () => JSON.parse(await host.ok("ls", "--json")).map(({ id }: { id: string }) => id);

it("create makes whole instances until there is no room, and says what helps", async () => {
  let made = 0;
  let outcome = await host.veneer("create", "i0", "b");
  while (outcome.status === 0) outcome = await host.veneer("create", `i${++made}`, "b");
  expect(made).toBeGreaterThan(0);
  expect([outcome.status, outcome.stderr]).toEqual([
    1,
    expect.stringMatching(/^veneer: ENOSPC: No space left on device, .*; hint: .*'veneer gc'/),
  ]);
  expect(await ids()).toHaveLength(made);
  expect(readdirSync(join(host.root, "staging"))).toEqual([]);
});

it("every change that finds no room leaves the old state", async () => {
  const before = await host.ok("inspect", "i0", "--json");
  for (const words of [
    ["cutover", "i0", "b"],
    ["clone", "i0", "new"],
    ["commit", "i0", "apps"],
  ]) {
    const { status, stderr } = await host.veneer(...words);
    expect([status, stderr]).toEqual([1, expect.stringContaining("No space left on device")]);
    expect(stderr).toContain("veneer gc");
  }
  expect(await host.ok("inspect", "i0", "--json")).toBe(before);
  expect(await host.ok("base", "ls", "--json")).not.toContain("apps");
  // a full disk keeps nothing from being removed
  await host.ok("rm", ...(await ids()));
  await host.ok("create", "i0", "b");
});

it("mount undoes itself when it cannot be remembered", async () => {
  const file = join(small, "fill");
  await host.ok("rm", "i0");
  await host.ok("create", "i0", "b");
  await host.ok("umount", "i0").catch(() => undefined);
  const room = await must("stat", ["-fc", "%f %S", small]);
  const [blocks = 0, size = 0] = room.split(" ").map(Number);
  mkdirSync(join(outside.dir, "run2"));
  writeFileSync(file, new Uint8Array(blocks * size));
  // records have room elsewhere, the definition has none
  const { status, stderr } = await host.veneer("--run", join(outside.dir, "run2"), "mount", "i0");
  expect([status, stderr]).toEqual([1, expect.stringContaining("ENOSPC")]);
  expect((await must("findmnt", ["-rno", "SOURCE"])).includes("veneer:i0")).toBe(false);
  expect(readdirSync(join(outside.dir, "run2/records"))).toEqual([]);
});
