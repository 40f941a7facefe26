import { chmodSync, chownSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { hookAt, makeBundle, nextId } from "../helpers/bundle.ts";
import { makeHost, PROGRAM, storeOptions } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";
import { type SharedRoot, sharedRoot } from "../helpers/shared-root.ts";
import { injectAt, traceTo } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";
import { mapIds, openTo, range } from "../helpers/userns.ts";

const host = makeHost();
let shared: SharedRoot;

beforeAll(async () => {
  shared = await sharedRoot();
  const tree = makeTree(join(host.dir, "tree"));
  openTo(host, tree);
  plantBase(host, "one", tree);
  await host.ok("base", "import", "two", tree);
  await host.ok("base", "edit", "two", "--", "sh", "-c", "echo second > /etc/version");
});

afterAll(async () => {
  shared.end();
  await host.remove();
});

const commandLine = (...args: string[]) => [PROGRAM, ...storeOptions(host), ...args];

/** What tells the program that overlayfs takes mounts that are nowhere attached, as from Linux 6.15 on. */
const QUESTION = '"override_creds"';

/** Both ways in which overlayfs is given mounts that are nowhere attached: as they are, and attached for a while. */
async function bothWays(name: string, action: (prefix: readonly string[]) => Promise<void>): Promise<void> {
  const trace = join(host.dir, `trace-${name}`);
  const before = shared.mounts();
  await action(["strace", ...traceTo(trace, "fsconfig")]);
  expect(shared.mounts()).toEqual(before);
  if (!isLinux("6.5")) return; // the question is not asked: overlayfs takes any option
  await action(["strace", ...injectAt(trace, "fsconfig", QUESTION, "error=EINVAL")]);
  expect(readFileSync(`${trace}-injected`, "utf8")).toMatch(/"override_creds".*INJECTED/);
  expect(shared.mounts()).toEqual(before);
}

const uppers: [string, Record<string, string>][] = [
  ["layers of the store", { "run.veneer.base": "two" }],
  ["a base in place", { "run.veneer.base": "one" }],
];
// a tmpfs can be idmapped from Linux 6.3 on
if (isLinux("6.3"))
  uppers.push(["an upper in memory", { "run.veneer.base": "two", "run.veneer.tmpfs": "16m" }]);

describe("where / is shared, as systemd makes it", () => {
  it("doctor leaves no mount on the host", () =>
    bothWays("doctor", async ([file = "", ...args]) => {
      expect(await shared.run(file, [...args, ...commandLine("doctor")])).toMatchObject({ status: 0 });
    }));

  it("an upper in memory over two layers covers neither the store nor a layer", async () => {
    await host.ok("create", "memory", "two", "--tmpfs", "16m");
    await bothWays("mount", async ([file = "", ...args]) => {
      const before = shared.mounts();
      const place = (await shared.must(file, [...args, ...commandLine("mount", "memory")])).trim();
      expect(shared.mounts().filter((line) => !before.includes(line))).toEqual([
        expect.stringContaining(` ${place} `),
      ]);
      expect(await shared.must("cat", [`${place}/etc/version`])).toBe("second");
      expect(
        JSON.parse(await shared.must(PROGRAM, commandLine("base", "ls", "--json").slice(1))),
      ).toHaveLength(2);
      await shared.must(PROGRAM, commandLine("umount", "memory").slice(1));
    });
    await host.ok("rm", "memory");
  });

  it.each(uppers)("a hook for a user namespace with %s leaves no mount on the host", (name, annotations) =>
    bothWays(`hook-${name.replaceAll(" ", "-")}`, async (prefix) => {
      const hook = join(host.dir, "hook");
      writeFileSync(hook, `#!/bin/sh\nexec ${[...prefix, PROGRAM].join(" ")} "$@"\n`);
      chmodSync(hook, 0o755);
      const id = nextId();
      const bundle = makeBundle(join(host.dir, id), "cat /etc/os-release; stat -c %u /etc", (config) => {
        mapIds(config, range(200_000));
        Object.assign(config.annotations, annotations);
        hookAt(config, host, "createRuntime");
        for (const one of config.hooks.createRuntime ?? []) one.path = hook;
      });
      chownSync(join(bundle, "rootfs"), 200_000, 200_000);
      openTo(host, bundle);
      const args = ["--root", join(host.dir, "state"), "run", "--bundle", bundle, id];
      const { status, stderr, stdout } = await shared.run("runc", args);
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(/\n0$/);
    }),
  );
});
