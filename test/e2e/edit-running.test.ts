/** A base is edited while containers run on it: none of them notices. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { detach, hookAt, makeBundle, nextId, runtime } from "../helpers/bundle.ts";
import { must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";
import { storeArguments } from "../helpers/wrapper.ts";

const host = useHost();
const state = join(host.dir, "state");
const loop = "while :; do sleep 1; done";
const hooked = nextId();
const prepared = nextId();

beforeAll(async () => {
  const tree = makeTree(join(host.dir, "tree"));
  writeFileSync(join(tree, "etc/version"), "1\n");
  writeFileSync(join(tree, "etc/removed"), "1\n");
  mkdirSync(join(tree, "opt/app"), { recursive: true });
  await host.ok("base", "import", "debian", tree);
  const byHook = makeBundle(join(host.dir, "hooked"), loop, (config) =>
    hookAt(config, host, "createRuntime", "--base", "debian"),
  );
  const byWrapper = makeBundle(join(host.dir, "prepared"), loop, (config) => {
    config.annotations = {
      "run.veneer.base": "debian",
      "run.veneer.instance": "web1",
      "run.veneer.upper": "persistent",
    };
  });
  const outcomes = [
    await detach(host, "runc", ["--root", state, "run", "-d", "--bundle", byHook, hooked]),
    await detach(host, join(host.bin, "veneer-runc"), [
      ...storeArguments(host),
      ...["--root", state, "run", "-d", "--bundle", byWrapper, prepared],
    ]),
  ];
  expect(outcomes).toMatchObject([{ status: 0 }, { status: 0 }]);
});

/** What a container sees. */
async function look(id: string): Promise<string> {
  const script = "cat /etc/version; ls /etc/removed /etc/added /opt/app 2>&1; cat /proc/1/mountinfo";
  const { status, stdout } = await runtime(host, "runc", ["exec", id, "sh", "-c", script]);
  expect(status).toBe(0);
  return stdout;
}
const both = () => Promise.all([hooked, prepared].map(look));

describe("a base that is edited while containers run on it", () => {
  it("leaves them with what they see, by a command and by a session", async () => {
    const before = await both();
    const change = "echo 2 > /etc/version; rm -r /etc/removed /opt/app; echo 2 > /etc/added";
    expect(await host.ok("base", "edit", "debian", "--", "sh", "-c", change)).toBe("debian@2");
    expect(await both()).toEqual(before);
    const root = await host.ok("base", "edit", "debian");
    writeFileSync(join(root, "etc/version"), "3\n");
    expect(await both()).toEqual(before);
    expect(await host.ok("base", "commit", "debian")).toBe("debian@3");
    expect(await both()).toEqual(before);
  });

  it("shows by how many versions each is behind", async () => {
    const behind = async () =>
      JSON.parse(await host.ok("ps", "--json")).map((row: { version: number; behind: number }) => [
        row.version,
        row.behind,
      ]);
    expect(await behind()).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(await host.ok("ps")).toMatch(/ BEHIND .*\n.* debian@1 +2 /);
    expect(JSON.parse(await host.ok("ls", "--json"))).toMatchObject([{ id: "web1", version: 1, behind: 2 }]);
    await host.ok("base", "use", "debian@2");
    expect(await behind()).toMatchObject([
      [1, 1],
      [1, 1],
    ]);
    await host.ok("create", "new", "debian@3");
    expect(JSON.parse(await host.ok("ls", "--json"))[0]).toMatchObject({ id: "new", behind: -1 });
    await host.ok("base", "use", "debian@3");
  });

  it("gives the new version to what starts afterwards, and keeps the old one while it is used", async () => {
    const root = await host.ok("mount", "new");
    expect(await must("cat", [join(root, "etc/version")])).toBe("3");
    await host.ok("umount", "new");
    const { status, stderr } = await host.veneer("base", "rm", "debian@1");
    expect([status, stderr]).toEqual([1, expect.stringContaining("debian@1 is used by")]);
  });
});
