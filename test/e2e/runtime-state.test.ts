/** All of a process's state reaches the real runtime as the caller made it: a program in its place prints it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeBundle } from "../helpers/bundle.ts";
import { compileFixture, makeHost, must, PROJECT, sh } from "../helpers/host.ts";
import { storeArguments } from "../helpers/wrapper.ts";

const host = makeHost();
const directory = join(host.dir, "observed");
const observer = join(directory, "runc");
const wrapper = join(PROJECT, "dist/veneer-runc");
const cgroup = join("/sys/fs/cgroup/pids", host.dir.split("/").at(-1) as string);
let plain: string;
let count = 0;

beforeAll(async () => {
  makeBase(host, "b");
  mkdirSync(directory);
  writeFileSync(join(directory, "positions"), "0123456789\n");
  plain = makeBundle(join(host.dir, "plain"), "true");
  await compileFixture("observer", observer);
  // a control group of its own, where groups are of the first version
  if ((await sh("mkdir", [cgroup])).status === 0) await must("ln", ["-s", cgroup, join(directory, "cgroup")]);
});
afterAll(async () => {
  await sh("rmdir", [cgroup]);
  await host.remove();
});

const based = () =>
  makeBundle(join(host.dir, `based${++count}`), "true", (config) => {
    config.annotations["run.veneer.base"] = "b";
  });

async function observe(kind: string, words: readonly string[]): Promise<string> {
  const script = ["/usr/bin/python3", join(PROJECT, "test/fixtures/surroundings.py"), kind, ...words];
  const terminal = ["script", "-qefc", script.map((word) => `'${word}'`).join(" "), "/dev/null"];
  const [file = "", ...args] = kind === "terminal" ? terminal : script;
  const env = { PATH: `${directory}:/usr/bin:/bin`, OBSERVED: directory };
  const { status, stdout, stderr } = await sh(file, args, { env, cwd: host.dir });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

const KINDS = ["usual", "deleted", "closed", "privileges", "terminal"];

it.each(KINDS)("with %s surroundings, for another command and without a base", async (kind) => {
  for (const words of [
    ["state", "a b"],
    ["--log", "/dev/null", "create", "--bundle", plain, "--pid-file", "", "id"],
  ]) {
    const direct = await observe(kind, [observer, ...words]);
    for (const seen of [
      "fd 99: FD 0",
      "limit 7: c8 12c",
      "oom_score_adj: 321",
      "nice 7",
      "death signal 12",
    ]) {
      expect(direct).toContain(seen);
    }
    expect(await observe(kind, [wrapper, ...words])).toBe(direct);
  }
});

it.each(KINDS.filter((kind) => kind !== "privileges"))("with %s surroundings, with a base", async (kind) => {
  const words = ["--log", "/dev/null", "create", "--preserve-fds", "3", "--bundle", based(), "id"];
  const direct = await observe(kind, [observer, ...words]);
  expect(await observe(kind, [wrapper, ...storeArguments(host), ...words])).toBe(direct);
});
