import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const lower = join(host.dir, "lower");
const top = join(host.dir, "top");

beforeAll(async () => {
  makeTree(lower);
  mkdirSync(join(lower, "opt/app/lib"), { recursive: true });
  for (const name of ["a", "b", "lib/c", "lib/d"]) writeFileSync(join(lower, "opt/app", name), name);
  mkdirSync(join(lower, "var/log/gone"), { recursive: true });
  // a second layer that adds, replaces and removes
  mkdirSync(join(top, "opt/app/lib"), { recursive: true });
  writeFileSync(join(top, "opt/app/lib/e"), "e");
  mkdirSync(join(top, "var/log"), { recursive: true });
  await must("mknod", [join(top, "var/log/gone"), "c", "0", "0"]);
  await must("mknod", [join(top, "home"), "c", "0", "0"]);
  plantBase(host, "two", [top, lower]);
});
beforeEach(async () => {
  await host.ok(
    "create",
    "web1",
    "two",
    "--mask",
    "/etc/os-release",
    "--opaque",
    "/tmp",
    "--opaque",
    "/srv/new",
  );
});
afterEach(async () => {
  await host.veneer("umount", "web1");
  await host.ok("rm", "web1");
});
afterAll(() => host.remove());

/** The lines of diff after `action` on the mounted root. */
async function diffAfter(action: (root: string) => unknown): Promise<string[]> {
  await action(await host.ok("mount", "web1"));
  const while_ = await host.ok("diff", "web1");
  await host.ok("umount", "web1");
  const after = await host.ok("diff", "web1");
  expect(after).toBe(while_);
  return after === "" ? [] : after.split("\n");
}

describe("diff", () => {
  it("is empty for an instance that changed nothing", async () => {
    expect(await diffAfter((root) => readdirSync(root))).toEqual([]);
    expect(await host.ok("diff", "web1", "--json")).toBe("[]");
  });

  it("lists added, changed and deleted files", async () => {
    const lines = await diffAfter((root) => {
      writeFileSync(join(root, "etc/new"), "");
      writeFileSync(join(root, "etc/passwd"), "changed");
      unlinkSync(join(root, "etc/group"));
      rmSync(join(root, "opt/app/lib"), { recursive: true });
      writeFileSync(join(root, "tmp/x"), "");
      writeFileSync(join(root, "etc/os-release"), "own");
      mkdirSync(join(root, "home"));
      linkSync(join(root, "opt/app/a"), join(root, "opt/hard"));
    });
    expect(lines).toEqual([
      "C /etc",
      "D /etc/group",
      "A /etc/new",
      "A /etc/os-release",
      "C /etc/passwd",
      "A /home",
      "C /opt",
      "C /opt/app",
      "C /opt/app/a",
      "D /opt/app/lib",
      "A /opt/hard",
      "C /tmp",
      "A /tmp/x",
    ]);
  });

  it("knows changes of mode, owner, times and extended attributes", async () => {
    const lines = await diffAfter(async (root) => {
      chmodSync(join(root, "etc/passwd"), 0o600);
      chmodSync(join(root, "opt/app/lib"), 0o711);
      utimesSync(join(root, "var/lib"), 5, 5);
      await must("chown", ["-h", "3:4", join(root, "etc/resolv.conf")]);
      await must("setfattr", ["-n", "user.note", "-v", "x", join(root, "usr")]);
      await must("setfattr", ["-n", "user.note", "-v", "x", join(root, "usr/bin")]);
    });
    expect(lines).toEqual([
      "C /etc",
      "C /etc/passwd",
      "C /etc/resolv.conf",
      "C /opt",
      "C /opt/app",
      "C /opt/app/lib",
      "C /usr",
      "C /usr/bin",
      "C /var",
      "C /var/lib",
    ]);
  });

  it("lists what a directory lost that was removed and made again", async () => {
    const lines = await diffAfter((root) => {
      rmSync(join(root, "opt/app"), { recursive: true });
      mkdirSync(join(root, "opt/app/lib"), { recursive: true });
      writeFileSync(join(root, "opt/app/b"), "again");
      writeFileSync(join(root, "opt/app/lib/d"), "again");
      rmSync(join(root, "tmp"), { recursive: true });
      mkdirSync(join(root, "tmp"), { mode: 0o777 });
    });
    expect(lines).toEqual([
      "C /opt",
      "C /opt/app",
      "D /opt/app/a",
      "C /opt/app/b",
      "C /opt/app/lib",
      "D /opt/app/lib/c",
      "C /opt/app/lib/d",
      "D /opt/app/lib/e",
      "C /tmp",
    ]);
  });

  it("lists a renamed directory as deleted and added", async () => {
    const lines = await diffAfter((root) => must("mv", [join(root, "opt/app"), join(root, "opt/moved")]));
    expect(lines).toEqual([
      "C /opt",
      "D /opt/app",
      "A /opt/moved",
      "A /opt/moved/a",
      "A /opt/moved/b",
      "A /opt/moved/lib",
      "A /opt/moved/lib/c",
      "A /opt/moved/lib/d",
      "A /opt/moved/lib/e",
    ]);
  });

  it("knows files that became directories, and the reverse", async () => {
    const lines = await diffAfter((root) => {
      unlinkSync(join(root, "etc/passwd"));
      mkdirSync(join(root, "etc/passwd/inner"), { recursive: true });
      rmSync(join(root, "opt/app"), { recursive: true });
      symlinkSync("/etc", join(root, "opt/app"));
    });
    expect(lines).toEqual(["C /etc", "C /etc/passwd", "A /etc/passwd/inner", "C /opt", "C /opt/app"]);
  });

  it("writes odd names so that each stays one line", async () => {
    const lines = await diffAfter((root) =>
      must("sh", [
        "-c",
        'cd "$1/tmp" && touch "$(printf "new\\nline")" "$(printf "\\377")" "back\\\\slash" "ü \'\\","',
        "sh",
        root,
      ]),
    );
    expect(lines).toEqual([
      "C /tmp",
      "A /tmp/back\\\\slash",
      "A /tmp/new\\x0aline",
      "A /tmp/ü '\",",
      "A /tmp/\\xff",
    ]);
  });

  it("forgets nothing after many changes to and fro", async () => {
    const lines = await diffAfter((root) => {
      writeFileSync(join(root, "srv/new/x"), "");
      unlinkSync(join(root, "srv/new/x"));
      renameSync(join(root, "etc/passwd"), join(root, "etc/p"));
      renameSync(join(root, "etc/p"), join(root, "etc/passwd"));
    });
    expect(lines).toEqual(["C /etc", "C /etc/passwd"]);
  });

  it("has nothing to say of an instance in memory or of none", async () => {
    await host.ok("create", "web2", "two", "--tmpfs", "1m");
    expect((await host.veneer("diff", "web2")).stderr).toContain("keeps its writes in memory");
    await host.ok("rm", "web2");
    expect((await host.veneer("diff", "web2")).status).toBe(1);
  });
});
