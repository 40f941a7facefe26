import { appendFileSync, chmodSync, cpSync, mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const one = join(host.dir, "one");
const two = join(host.dir, "two");
const put = (root: string, path: string, text: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  // as builds with a fixed time do: equal size and time tell nothing
  utimesSync(join(root, path), 1000, 1000);
};

beforeAll(async () => {
  makeTree(one);
  for (const path of ["etc/both", "etc/own", "etc/base", "etc/mode", "etc/gone", "etc/removed", "etc/same"]) {
    put(one, path, "1");
  }
  for (const path of ["opt/app/a", "opt/app/b", "opt/app/sub/c", "opt/old/x", "opt/still/x"])
    put(one, path, "1");
  put(one, "var/lib/dpkg/status", "Package: a\n");
  put(one, "etc/ssh/ssh_host_key", "1");
  cpSync(one, two, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  for (const path of ["etc/both", "etc/base", "etc/removed", "etc/same", "etc/ssh/ssh_host_key"])
    put(two, path, "2");
  for (const path of ["opt/app/b", "opt/app/sub/c", "opt/old/x", "etc/added", "tmp/new"]) put(two, path, "2");
  chmodSync(join(two, "tmp"), 0o1777);
  chmodSync(join(two, "root"), 0o700);
  chmodSync(join(two, "etc/mode"), 0o600);
  chmodSync(join(two, "usr"), 0o711);
  rmSync(join(two, "etc/gone"));
  put(two, "var/lib/dpkg/status", "Package: b\n");
  await host.ok("base", "import", "debian", one);
  await host.ok("base", "import", "debian", two);
});
beforeEach(async () => {
  await host.ok("create", "web1", "debian@1", "--mask", "/etc/ssh/*");
});
afterEach(async () => {
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) {
    await host.veneer("umount", id);
    await host.ok("rm", id);
  }
});
afterAll(() => host.remove());

async function change(action: (root: string) => unknown): Promise<void> {
  await action(await host.ok("mount", "web1"));
  await host.ok("umount", "web1");
}

describe("rebase", () => {
  it("tells nothing of an instance that changed nothing, or where the base changed nothing", async () => {
    expect(await host.ok("rebase", "web1", "debian@2", "--dry-run")).toBe("");
    await change((root) => {
      put(root, "etc/own", "mine");
      put(root, "etc/mine", "mine");
      put(root, "tmp/new", "mine");
      rmSync(join(root, "opt/still"), { recursive: true });
    });
    expect(await host.ok("rebase", "web1", "debian@2", "--dry-run")).toBe("");
  });

  it("lists what both sides changed, and calls the package database by its name", async () => {
    await change((root) => {
      for (const path of ["etc/both", "etc/added", "etc/gone", "etc/mode"]) put(root, path, "x");
      put(root, "etc/same", "2");
      appendFileSync(join(root, "var/lib/dpkg/status"), "Package: c\n");
      rmSync(join(root, "etc/removed"));
      rmSync(join(root, "opt/old"), { recursive: true });
      chmodSync(join(root, "usr"), 0o700);
      rmSync(join(root, "opt/app"), { recursive: true });
      put(root, "opt/app/b", "mine");
    });
    const wanted = [
      "AA /etc/added",
      "CC /etc/both",
      "CD /etc/gone",
      "CC /etc/mode",
      "DC /etc/removed",
      "CC /opt/app/b",
      "DC /opt/app/sub",
      "DC /opt/old",
      "CC /usr",
      "CC /var/lib/dpkg/status",
    ];
    const dry = await host.veneer("rebase", "web1", "debian@2", "--dry-run");
    expect(dry.stdout.split("\n")).toEqual(wanted);
    expect(dry.stderr).toMatch(
      /^veneer: the package database of dpkg \(\/var\/lib\/dpkg\/status\) is the instance's own: .* debian@2 /,
    );
    expect(JSON.parse(await host.ok("ls", "--json"))[0].version).toBe(1);
    const json = JSON.parse(await host.ok("rebase", "web1", "debian@2", "--dry-run", "--json"));
    expect(json).toMatchObject({ id: "web1", from: "debian@1", to: "debian@2", rebased: false });
    expect(json.conflicts).toContainEqual({
      path: "/var/lib/dpkg/status",
      own: "changed",
      base: "changed",
      database: "dpkg",
    });
    const done = await host.veneer("rebase", "web1", "debian@2");
    expect(done.stdout.split("\n")).toEqual(wanted);
    expect(done.stderr).toContain("veneer: instance web1 is on debian@2, generation 1");
    expect(JSON.parse(await host.ok("ls", "--json"))[0].version).toBe(2);
  });

  it("finds nothing between an instance and the version that was made of it", async () => {
    await change((root) => {
      for (const path of ["etc/own", "etc/mine", "opt/new/x"]) put(root, path, "mine");
      rmSync(join(root, "opt/app"), { recursive: true });
      mkdirSync(join(root, "opt/app"));
    });
    expect(await host.ok("commit", "web1", "apps")).toBe("apps@1");
    expect(await host.ok("rebase", "web1", "apps", "--dry-run")).toBe("");
    await host.ok("rebase", "web1", "apps");
    expect(await must("cat", [join(await host.ok("mount", "web1"), "etc/mine")])).toBe("mine");
  });

  it("reports for an instance that is in use, but does not change it", async () => {
    await change((root) => put(root, "etc/both", "x"));
    await host.ok("mount", "web1");
    expect(await host.ok("rebase", "web1", "debian@2", "--dry-run")).toBe("CC /etc/both");
    expect((await host.veneer("rebase", "web1", "debian@1", "--dry-run")).stderr).toContain(
      "on debian@1 already",
    );
    expect((await host.veneer("rebase", "web1", "none", "--dry-run")).status).toBe(1);
  });
});
