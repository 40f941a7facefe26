/** `veneer setup cdi`: the specification has a device for each base that there is. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { makeHost } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const etc = join(host.dir, "etc");
const file = join(etc, "cdi/veneer.json");
const tree = join(host.dir, "tree");
const setup = (...args: string[]) => host.veneer("setup", "cdi", "--etc", etc, ...args);
const devices = () =>
  JSON.parse(readFileSync(file, "utf8")).devices.map(({ name }: { name: string }) => name);

beforeAll(() => {
  makeTree(tree);
});
afterEach(async () => {
  await host.ok("unsetup", "cdi", "--etc", etc);
  expect(existsSync(file)).toBe(false);
  for (const name of ["debian", "apps", "1st", "odd."]) await host.veneer("base", "rm", name);
});
afterAll(() => host.remove());

it("says that there is no base yet, and writes nothing", async () => {
  const outcome = await setup();
  expect(outcome).toMatchObject({ status: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/there is no base to make a device of; hint: 'veneer base import'/);
  expect(existsSync(file)).toBe(false);
});

it("writes hooks at createRuntime and poststop that name the base and the store", async () => {
  await host.ok("base", "import", "debian", tree);
  expect(await setup()).toMatchObject({ status: 0, stdout: file });
  expect(statSync(file).mode & 0o777).toBe(0o644);
  const hook = {
    path: expect.stringMatching(/\/veneer$/),
    args: ["veneer", "--root", host.root, "--run", host.run, "hook", "oci", "--base", "debian"],
    env: [expect.stringMatching(/^PATH=/)],
  };
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
    cdiVersion: "0.5.0",
    kind: "veneer.run/base",
    devices: [
      {
        name: "debian",
        containerEdits: {
          hooks: [
            { hookName: "createRuntime", ...hook },
            { hookName: "poststop", ...hook },
          ],
        },
      },
    ],
  });
  expect(await setup()).toMatchObject({ status: 0, stdout: "" });
});

it("follows the bases as they come and go", async () => {
  await host.ok("base", "import", "debian", tree);
  await setup();
  await host.ok("base", "new", "apps", "--from", "debian");
  expect(devices()).toEqual(["apps", "debian"]);
  await host.ok("base", "import", "1st", tree);
  expect(devices()).toEqual(["1st", "apps", "debian"]);
  await host.ok("base", "rm", "apps");
  expect(devices()).toEqual(["1st", "debian"]);
  await host.ok("base", "rm", "debian");
  await host.ok("base", "rm", "1st");
  expect(existsSync(file)).toBe(false);
  await host.ok("base", "import", "debian", tree);
  expect(devices()).toEqual(["debian"]);
});

it("leaves out a base whose name no device may have", async () => {
  await host.ok("base", "import", "odd.", tree);
  await host.ok("base", "import", "debian", tree);
  const outcome = await setup();
  expect(devices()).toEqual(["debian"]);
  expect(outcome.stderr).toMatch(/odd\. .*no device/);
});

it("writes nothing with --dry-run, and nothing for who has not set it up", async () => {
  await host.ok("base", "import", "debian", tree);
  expect((await setup("--dry-run")).stdout).toContain('+  "kind": "veneer.run/base"');
  await host.ok("base", "import", "debian", tree);
  expect(existsSync(file)).toBe(false);
});
