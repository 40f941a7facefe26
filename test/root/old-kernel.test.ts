/** A kernel below the oldest that can be used (without mount_setattr(2), before Linux 5.12): refused in one line. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeBundle, nextId } from "../helpers/bundle.ts";
import { makeHost } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";
import { wrapped } from "../helpers/wrapper.ts";

const host = makeHost();
const release = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();

beforeAll(() => {
  makeBase(host, "b");
});
beforeEach((context) => {
  if (isLinux("5.12")) context.skip("this kernel is new enough");
});
afterAll(() => host.remove());

it("is refused in one line by every command that mounts", async () => {
  const bundle = makeBundle(join(host.dir, "bundle"), "true", (config) => {
    config.annotations["run.veneer.base"] = "b";
  });
  await host.ok("create", "web1", "b");
  const outcomes = [
    await host.veneer("run", "b", "--", "true"),
    await host.veneer("mount", "web1"),
    await host.veneer("base", "edit", "b", "--", "true"),
    await wrapped(host, "runc", ["run", "--bundle", bundle, nextId()]),
  ];
  for (const { status, stdout, stderr } of outcomes) {
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^veneer: [^\n]*Linux 5\.[^\n]* has no mount_setattr\(2\); hint: Linux 6\.1 [^\n]*$/,
    );
    expect(stderr).toContain(release);
  }
});

it("is named by doctor, with what it lacks", async () => {
  const { status, stdout } = await host.veneer("doctor", "--json");
  expect(status).toBe(1);
  const found = Object.fromEntries(
    JSON.parse(stdout).checks.map(({ name, status }: { name: string; status: string }) => [name, status]),
  );
  expect(found).toMatchObject({ version: "limited", mount_setattr: "missing" });
});
