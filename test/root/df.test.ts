import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, sh } from "../helpers/host.ts";

const host = makeHost();
afterAll(() => host.remove());
const MiB = 1 << 20;

it("says so little of an empty store", async () => {
  const empty = { bases: [], instances: [], total: { bytes: 0, withInPlace: 0, saved: 0, copies: 0 } };
  expect(JSON.parse(await host.ok("df", "--json"))).toEqual(empty);
  expect((await host.veneer("df", "x")).status).toBe(2);
});

it("counts bases once, instances by their own bytes, and what copies would take", async () => {
  const tree = join(host.dir, "a tree: 'ü'\n");
  mkdirSync(join(tree, "etc"), { recursive: true });
  writeFileSync(join(tree, "etc/big"), new Uint8Array(8 * MiB));
  await host.ok("base", "import", "small", tree);
  plantBase(host, "place", tree);
  for (const id of ["web1", "web2"]) await host.ok("create", id, "small");
  await host.ok("create", "web3", "place");
  writeFileSync(join(await host.ok("mount", "web1"), "etc/own"), new Uint8Array(2 * MiB));
  await must("sync", []);
  const { bases, instances, total } = JSON.parse(await host.ok("df", "--json"));
  expect(bases).toMatchObject([
    { base: "place", versions: 1, users: 1, shared: 0 },
    { base: "small", versions: 1, users: 2, shared: 0, inPlace: 0 },
  ]);
  const near = (bytes: number, wanted: number) => expect(Math.abs(bytes - wanted)).toBeLessThan(MiB / 4);
  near(bases[0].inPlace, 8 * MiB);
  near(bases[1].bytes, 8 * MiB);
  near(instances[0].bytes, 2 * MiB);
  near(instances[0].copy, 10 * MiB);
  near(instances[1].bytes, 0);
  near(total.bytes, 10 * MiB);
  near(total.withInPlace, 18 * MiB);
  near(total.copies, 26 * MiB);
  const text = await host.ok("df");
  expect(text).toMatch(/^web1 +small@1 +2\.[0-9] MiB +10\.[0-9] MiB$/m);
  expect(text).toMatch(/as full copies the instances would take 26\.[0-9] MiB$/);
  const drawn = await sh("script", ["-qec", `${join(host.bin, "veneer")} df`, "/dev/null"]);
  expect(drawn.stdout).toMatch(/web1 .* ████·{16}/);
});

it("counts in a copy nothing that layers or the instance hide", async () => {
  const tree = join(host.dir, "hiding");
  mkdirSync(join(tree, "d"), { recursive: true });
  for (const name of ["a", "b", "d/c"]) writeFileSync(join(tree, name), new Uint8Array(2 * MiB));
  await must("cp", ["/bin/busybox", join(tree, "sh")]);
  await host.ok("base", "import", "hiding", tree);
  const point = await host.ok("base", "edit", "hiding");
  writeFileSync(join(point, "a"), "small");
  await host.ok("base", "commit", "hiding");
  await host.ok("create", "hider", "hiding");
  const root = await host.ok("mount", "hider");
  writeFileSync(join(root, "b"), new Uint8Array(MiB));
  await must("rm", ["-r", join(root, "d")]);
  await must("sync", []);
  const { instances } = JSON.parse(await host.ok("df", "--json"));
  const { copy } = instances.find(({ id }: { id: string }) => id === "hider");
  const shown = Number((await must("du", ["-s", "-B1", "--apparent-size", root])).split("\t")[0]);
  expect(Math.abs(copy - shown)).toBeLessThan(MiB / 4);
});

it("does not call a further version in place empty", async () => {
  const tree = join(host.dir, "tree-in-place");
  mkdirSync(tree);
  for (const _ of [1, 2]) await host.ok("base", "import", "twice", tree, "--in-place");
  expect((await host.ok("base", "log", "twice")).match(/in place {2}/g)).toHaveLength(2);
});
