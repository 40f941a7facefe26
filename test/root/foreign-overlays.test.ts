/** Trees that hold data of other overlays: of Docker, podman, rootless podman, another store. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost("/var/tmp");
const other = makeHost("/var/tmp");
const tree = join(host.dir, "tree");
afterAll(async () => {
  await host.remove();
  await other.remove();
});

const DIFF = "var/lib/docker/overlay2/l2/diff";
const USERS = "home/u/.local/share/containers/storage/overlay/l/diff";
const MARKS = `
  mkdir -p ${DIFF}/dir ${DIFF}/opaque ${DIFF}/moved ${DIFF}/listed ${USERS}/opaque nested
  echo 1 >${DIFF}/dir/1; mknod ${DIFF}/dir/gone c 0 0; echo o >${DIFF}/opaque/o; setfattr -n trusted.overlay.opaque -v y ${DIFF}/opaque
  truncate -s 100 ${DIFF}/meta; setfattr -n trusted.overlay.metacopy ${DIFF}/meta; setfattr -n trusted.overlay.redirect -v /etc ${DIFF}/moved
  : >${DIFF}/listed/hidden; setfattr -n trusted.overlay.whiteout -v y ${DIFF}/listed/hidden; setfattr -n trusted.overlay.opaque -v x ${DIFF}/listed
  echo s >${DIFF}/listed/seen; setfattr -n trusted.overlay.origin -v 0xfb ${DIFF}/dir/1; setfattr -n trusted.overlay.impure -v y ${DIFF}/dir
  echo o >${USERS}/opaque/o; setfattr -n user.overlay.opaque -v y ${USERS}/opaque; mknod ${USERS}/gone c 0 0
  echo m >${USERS}/m; setfattr -n user.overlay.metacopy -v 0x00 ${USERS}/m; echo n >nested/n; setfattr -n trusted.overlay.overlay.opaque -v y nested`;

beforeAll(async () => {
  makeTree(tree);
  execFileSync("bash", ["-ec", MARKS], { cwd: tree });
  // a store of another veneer, with a whiteout, an opaque directory and an upper
  const small = join(other.dir, "small");
  mkdirSync(join(small, "etc"), { recursive: true });
  writeFileSync(join(small, "etc/x"), "x");
  await other.ok("base", "import", "b", small);
  await other.ok("create", "i", "b");
  const root = await other.ok("mount", "i");
  await must("sh", ["-c", "rm -r etc; mkdir etc; echo y >etc/y"], { cwd: root });
  await other.ok("umount", "i");
  mkdirSync(join(tree, "srv/store"), { recursive: true });
  await must("cp", ["-aT", other.root, join(tree, "srv/store")]);
});

/** All that is there can be read, listed and removed; returns the paths that were there. */
async function readable(root: string): Promise<string[]> {
  const found = await must("find", [".", "-mindepth", "1", "-printf", "%P\\n"], { cwd: root });
  const files = await sh("sh", ["-c", "find . -type f -exec cat {} + >/dev/null"], { cwd: root });
  expect(files).toMatchObject({ status: 0, stderr: "" });
  expect(await sh("sh", ["-c", "rm -r ./*"], { cwd: root })).toMatchObject({ status: 0, stderr: "" });
  return found.trim().split("\n");
}

async function rootOf(id: string, base: string, ...options: string[]): Promise<string> {
  await host.ok("create", id, base, "--opaque", "none", ...options);
  return host.ok("mount", id);
}

describe("a tree with data of other overlays", () => {
  it("is copied without their marks, which are named by their paths; all else is there, and is exported", async () => {
    const { status, stderr } = await host.veneer("base", "import", "copy", tree);
    expect(status).toBe(0);
    expect(stderr).toMatch(/[0-9]+ whiteouts of another overlay .*: .*diff\/(dir\/)?gone/);
    expect(stderr).toMatch(/overlayfs's own attributes of [0-9]+ entries are left out: .*\//);
    const found = await readable(await rootOf("copy", "copy"));
    for (const path of ["dir/1", "opaque/o", "meta", "moved", "listed/hidden", "listed/seen"])
      expect(found).toContain(`${DIFF}/${path}`);
    expect(found).toContain(`${USERS}/m`);
    expect(found.some((path) => path.startsWith("srv/store/layers/") && path.endsWith("etc/x"))).toBe(true);
    expect(found).not.toContain(`${DIFF}/dir/gone`);
    await host.ok("base", "export", "copy", join(host.dir, "copy.tar"));
    await host.ok("base", "export", "copy", `oci:${join(host.dir, "copy")}`);
    await host.ok("base", "import", "again", `oci:${join(host.dir, "copy")}`);
    expect(await readable(await rootOf("again", "again"))).toEqual(found);
  });

  it("is imported from a tar and compared with a version before in the same way", async () => {
    const tar = join(host.dir, "tree.tar");
    await must("tar", ["--xattrs", "--xattrs-include=*", "-C", tree, "-cf", tar, "."]);
    const { status, stderr } = await host.veneer("base", "import", "by-tar", tar);
    expect([status, stderr]).toEqual([0, expect.stringMatching(/whiteouts of another overlay/)]);
    expect(await readable(await rootOf("by-tar", "by-tar"))).toContain(`${DIFF}/meta`);
    writeFileSync(join(tree, "etc/more"), "more");
    await host.ok("base", "import", "copy", tree);
    const found = await readable(await rootOf("differs", "copy"));
    expect(found).toContain("etc/more");
    expect(found).toContain(`${DIFF}/meta`);
  });

  it("is refused in place, with the paths; with --force and an opaque directory a container reads all", async () => {
    const refused = await host.veneer("base", "import", "place", tree, "--in-place");
    expect(refused).toMatchObject({ status: 1, stdout: "" });
    expect(refused.stderr).toMatch(
      /has [0-9]+ entries of another overlay.*: .*\/.*hint: .*\[OVERLAY_MARKS\]$/,
    );
    expect(refused.stderr.split("\n")).toHaveLength(1);
    expect((await host.veneer("base", "show", "place")).status).toBe(1);
    await host.ok("base", "import", "place", tree, "--in-place", "--force");
    await host.ok(
      "create",
      "place",
      "place",
      "--opaque",
      "/var/lib/docker",
      "--opaque",
      "/home",
      "--opaque",
      "/srv",
    );
    const found = await readable(await host.ok("mount", "place"));
    expect(found).toContain("etc/passwd");
    expect(found.some((path) => path.startsWith("var/lib/docker/"))).toBe(false);
  });

  it("is taken in place where its marks mean nothing to overlayfs, and where the only ones are the store's own", async () => {
    const harmless = join(host.dir, "harmless");
    mkdirSync(join(harmless, "dir"), { recursive: true });
    writeFileSync(join(harmless, "dir/f"), "f");
    const marks =
      "setfattr -n trusted.overlay.origin -v 0xfb dir/f; setfattr -n trusted.overlay.opaque -v y dir; setfattr -n user.overlay.metacopy -v 0x00 dir/f";
    await must("sh", ["-ec", marks], { cwd: harmless });
    await host.ok("base", "import", "harmless", harmless, "--in-place");
    const root = await rootOf("harmless", "harmless");
    expect(readFileSync(join(root, "dir/f"), "utf8")).toBe("f");
    expect(await readable(root)).toContain("dir/f");
    const around = join(other.dir, "around");
    mkdirSync(around);
    const own = ["--root", join(around, "store"), "--run", join(around, "run")];
    await other.ok(...own, "base", "import", "b", join(other.dir, "small"));
    await other.ok(...own, "create", "i", "b");
    await must("rm", ["-r", join(await other.ok(...own, "mount", "i"), "etc")]);
    await other.ok(...own, "umount", "i");
    expect((await other.veneer(...own, "base", "import", "around", around, "--in-place")).status).toBe(0);
  });
});
