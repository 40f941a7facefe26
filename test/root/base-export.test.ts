import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must } from "../helpers/host.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const bottom = join(host.dir, "bottom ,:\\\"'ä");
const top = join(host.dir, "top");
const out = join(host.dir, "out: ü");
afterAll(() => host.remove());

const layers = async (name: string): Promise<string[]> =>
  JSON.parse(await host.ok("base", "show", name, "--json")).layers.map(({ path }: { path: string }) => path);
const destination = () => join(mkdtempSync(join(out, "d")), "x");
const leftovers = () => ["staging", "trash"].flatMap((kind) => readdirSync(join(host.root, kind)));

/** The manifest of what a container on a version sees. */
async function merged(name: string): Promise<string> {
  const at = mkdtempSync(join(host.dir, "merged-"));
  await must("mount", ["-t", "overlay", "-o", `lowerdir=${(await links(name)).join(":")}`, "none", at]);
  try {
    return await treeManifest(at);
  } finally {
    await must("umount", [at]);
  }
}

/** Layers by names without a colon, as mount(8) needs them, and an empty one: overlayfs wants two. */
async function links(name: string): Promise<string[]> {
  const dir = mkdtempSync(join(host.dir, "links-"));
  mkdirSync(join(dir, "empty"));
  const all = await layers(name);
  for (const [index, path] of all.entries()) execFileSync("ln", ["-s", path, join(dir, `${index}`)]);
  return [...all.keys(), "empty"].map((link) => join(dir, `${link}`));
}

const LONG = "l".repeat(200);

beforeAll(() => {
  mkdirSync(out);
  mkdirSync(bottom);
  mkdirSync(top);
  const script = `
    mkdir etc dir acls "na me" sticky gone replaced xwhite; echo hi >etc/x; ln etc/x "na me/y"; ln etc/x dir/z
    echo 1 >gone/1; echo 1 >replaced/old; echo 1 >etc/deleted; echo 1 >xwhite/a; echo 2 >xwhite/b
    ln -s /etc l; ln -s '../dang ling\\' l2; ln -s ./etc/x ./l3; cp -L /bin/busybox b; setcap cap_net_raw+ep b
    cp b s; chmod 4755 s; mknod null c 1 3; mknod blk b 7 259; mkfifo pipe
    truncate -s 20M sparse; printf x | dd of=sparse bs=1 seek=5M conv=notrunc status=none
    truncate -s 9G huge; printf x | dd of=huge bs=1M seek=8500 oflag=seek_bytes conv=notrunc status=none; printf y >>huge
    echo a >acls/acl; setfacl -m u:1234:r acls/acl; setfacl -d -m g:77:rwx acls; echo b >acls/inherits; echo c >acls/plain; setfacl -b acls/plain
    setfattr -n user.note -v 'ünï' etc/x; setfattr -n user.bin -v 0x00ff0a3d etc/x; setfattr -n trusted.mine -v 1 dir
    chown 1234:5678 dir etc/x; chown -h 4:5 l; chown 2097152:3000000000 sticky; chmod 1777 sticky; chmod 2750 dir; chmod 0 etc/deleted
    : >"$(printf 'not\\377utf8')"; : >'back\\slash\\n'; : >"$(printf 'new\\nline')"; : >' lead'; : >'trail '; : >'-C x'; : >'a=b'; : >'*?[x]'; : >'#c'; : >'"q'"'"
    mkdir -p ${LONG}/${LONG}/ä; echo deep >${LONG}/${LONG}/ä/${LONG}; ln ${LONG}/${LONG}/ä/${LONG} ${LONG}/${LONG}/linked-$(printf 'x%.0s' $(seq 120)); ln -s ${LONG}/${LONG} long-link
    touch -d '2011-02-03 04:05:06.789012345 UTC' etc/x dir .; touch -h -d '1969-01-01 00:00:00.5 UTC' l; touch -d '2039-01-01' b; touch -d '2012-01-01 00:00:00.000000001' null pipe`;
  execFileSync("bash", ["-ec", script], { cwd: bottom });
  const changes = `
    mkdir etc replaced only xwhite; mknod etc/deleted c 0 0; mknod gone c 0 0; echo new >replaced/new; echo changed >b
    setfattr -n trusted.overlay.opaque -v y replaced; touch -h -d '2013-01-01 00:00:00.25' etc/deleted
    : >xwhite/a; setfattr -n trusted.overlay.whiteout -v y xwhite/a; setfattr -n trusted.overlay.opaque -v x xwhite; setfattr -n trusted.overlay.opaque -v x .
    touch -d '2014-05-06 07:08:09.123' etc replaced xwhite . xwhite/a`;
  execFileSync("bash", ["-ec", changes], { cwd: top });
  plantBase(host, "source", [top, bottom]);
});

describe("base export", () => {
  for (const suffix of ["tar", "tar.gz", "tar.xz", "tar.zst"]) {
    it(`writes the merged tree as ${suffix}, which imports as the same tree`, async () => {
      const file = `${destination()}.${suffix}`;
      expect(await host.ok("base", "export", "source", file)).toBe("");
      expect(await host.ok("base", "import", suffix, file)).toMatch(/@1$/);
      const expected = await merged("source");
      expect(expected).toContain("not\\377utf8".replace("\\377", "\ufffd"));
      expect(expected).not.toMatch(/^(gone|etc\/deleted|xwhite\/a|replaced\/old)\|/m);
      expect(await treeManifest((await layers(suffix))[0] ?? "")).toBe(expected);
      expect(readdirSync(join(file, ".."))).toHaveLength(1);
    });
  }

  it("writes a tar to standard output", async () => {
    const program = join(host.bin, "veneer");
    await must("sh", ["-c", '"$1" base export source - | "$1" base import piped -', "sh", program]);
    expect(await treeManifest((await layers("piped"))[0] ?? "")).toBe(await merged("source"));
  });

  for (const compression of ["gzip", "zstd", "none"]) {
    it(`writes an image compressed with ${compression}, which imports as the same layers`, async () => {
      const dir = destination();
      const digest = await host.ok("base", "export", "source", `oci:${dir}`, "--compression", compression);
      expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
      await host.ok("base", "import", compression, `oci:${dir}`);
      const [ownTop = "", ownBottom = ""] = await layers(compression);
      expect(await treeManifest(ownBottom)).toBe(await treeManifest(bottom));
      expect(await treeManifest(ownTop)).toBe(await canonical(top));
      expect(await merged(compression)).toBe(await merged("source"));
      const { blocks, size } = statSync(join(ownBottom, "huge"));
      expect(size).toBeGreaterThan(9 * 2 ** 30);
      expect(blocks * 512).toBeLessThan(1e7);
      expect(execFileSync("tail", ["-c", "1", join(ownBottom, "huge")], { encoding: "utf8" })).toBe("y");
    });
  }

  it("writes the same bytes again, also of what was imported, and shares the layers", async () => {
    const [first, second] = [`${destination()}.tar`, `${destination()}.tar`];
    await host.ok("base", "export", "source", `oci-archive:${first}`);
    await host.ok("base", "export", "source", `oci-archive:${second}`);
    expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
    const before = readdirSync(join(host.root, "layers"));
    await host.ok("base", "import", "again", `oci-archive:${first}`);
    expect(readdirSync(join(host.root, "layers"))).toEqual(before);
    await host.ok("base", "export", "again", `oci-archive:${second}`);
    const diffIds = (file: string) =>
      execFileSync("sh", ["-c", `tar -xOf "$1" blobs | grep -ao '"diff_ids":[^]]*'`, "sh", file]).toString();
    expect(diffIds(second)).toBe(diffIds(first));
  });

  it("adds to a layout that is there, and replaces a tag", async () => {
    const dir = destination();
    const one = await host.ok("base", "export", "source", `oci:${dir}:one`);
    await host.ok("base", "export", "tar", `oci:${dir}:two`);
    await host.ok("base", "export", "tar", `oci:${dir}:one`);
    const index = JSON.parse(readFileSync(join(dir, "index.json"), "utf8"));
    const names = index.manifests.map(
      (entry: { annotations: Record<string, string> }) =>
        entry.annotations["org.opencontainers.image.ref.name"],
    );
    expect(names.sort()).toEqual(["one", "two"]);
    expect(JSON.stringify(index)).not.toContain(one);
    expect(readdirSync(dir).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
  });

  it("leaves the store and mounts out of a base in place", async () => {
    const tree = join(host.dir, "living");
    mkdirSync(join(tree, "proc"), { recursive: true });
    mkdirSync(join(tree, "st*re"));
    writeFileSync(join(tree, "file"), "x");
    await must("mount", ["-t", "tmpfs", "none", join(tree, "proc")]);
    writeFileSync(join(tree, "proc/hidden"), "x");
    const args = ["--root", join(tree, "st*re"), "--run", join(tree, "run"), "base"];
    try {
      await host.ok(...args, "import", "self", tree, "--in-place");
      await host.ok(...args, "export", "self", `${out}/self.tar`);
      await host.ok(...args, "export", "self", `oci:${out}/self`);
    } finally {
      await must("umount", [join(tree, "proc")]);
    }
    expect((await must("tar", ["--force-local", "-tf", `${out}/self.tar`])).split("\n").sort()).toEqual([
      "./",
      "file",
      "proc/",
    ]);
    await host.ok("base", "import", "self", `oci:${out}/self`);
    expect(readdirSync((await layers("self"))[0] ?? "").sort()).toEqual(["file", "proc"]);
  });
});

describe("base export that cannot be done", () => {
  it("says why in one line, and leaves nothing behind", async () => {
    const strange = join(host.dir, "strange");
    mkdirSync(join(strange, "d"), { recursive: true });
    writeFileSync(join(strange, "d/.wh.x"), "");
    plantBase(host, "strange", strange);
    const moved = join(host.dir, "moved");
    mkdirSync(join(moved, "d"), { recursive: true });
    await must("setfattr", ["-n", "trusted.overlay.redirect", "-v", "/etc", join(moved, "d")]);
    plantBase(host, "moved", moved);
    const dir = join(destination(), "..");
    mkdirSync(join(dir, "full"));
    writeFileSync(join(dir, "full/x"), "");
    const before = readdirSync(dir, { recursive: true });
    for (const [args, status, message] of [
      [["strange", `oci:${dir}/x`], 1, /'\/d\/.wh.x': images keep such names.*hint: export to a tar/],
      [["moved", `oci:${dir}/x`], 1, /'\/d' has its content in another layer .*hint/],
      [["missing", `${dir}/x.tar`], 1, /no base missing/],
      [["source@7", `${dir}/x.tar`], 1, /no base source@7/],
      [["source", `${dir}/x`], 2, /names no format/],
      [["source", `docker-archive:${dir}/x`], 2, /hint: export to oci-archive/],
      [["source", `oci:${dir}/x`, "--compression", "lz4"], 2, /write gzip, zstd or none/],
      [["source", `oci:${dir}/full`], 1, /full' exists and is not an OCI image layout/],
      [["strange", `${dir}/none/x.tar`], 1, /no such file or directory/i],
      [["strange", `oci:${dir}/none/x`], 1, /ENOENT/],
      [["source", `${dir}/full.tar/x.tar`], 1, /ENOENT|ENOTDIR/],
    ] as const) {
      const outcome = await host.veneer("base", "export", ...args);
      expect(outcome.stderr).toMatch(message);
      expect(outcome.status).toBe(status);
      expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
    }
    expect(readdirSync(dir, { recursive: true })).toEqual(before);
    expect(leftovers()).toEqual([]);
  });

  it("leaves what was there when the destination is full", async () => {
    const small = join(host.dir, "small");
    mkdirSync(small);
    const big = join(host.dir, "big");
    mkdirSync(big);
    await must("dd", ["if=/dev/urandom", `of=${big}/file`, "bs=1M", "count=8", "status=none"]);
    plantBase(host, "big", big);
    await must("mount", ["-t", "tmpfs", "-o", "size=4m", "none", small]);
    try {
      writeFileSync(join(small, "x.tar"), "old");
      for (const to of [
        `${small}/x.tar`,
        `${small}/x.tar.gz`,
        `oci:${small}/x`,
        `oci-archive:${small}/x.tar`,
      ]) {
        const outcome = await host.veneer("base", "export", "big", to);
        expect(outcome.stderr).toMatch(/hint: no space on/);
        expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
        expect(outcome.status).toBe(1);
        expect(readdirSync(small)).toEqual(["x.tar"]);
        expect(readFileSync(join(small, "x.tar"), "utf8")).toBe("old");
      }
      expect(leftovers()).toEqual([]);
    } finally {
      await must("umount", [small]);
    }
  });

  it("leaves what was there when it is interrupted or killed, and runs again", async () => {
    const file = `${destination()}.tar.xz`;
    writeFileSync(file, "old");
    const dir = join(file, "../image");
    const big = join(host.dir, "endless");
    mkdirSync(big);
    await must("sh", ["-c", "head -c 64M /dev/urandom >data"], { cwd: big });
    plantBase(host, "long", big);
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      for (const [to, begun] of [
        [file, false],
        [file, true],
        [`oci:${dir}`, false],
        [`oci:${dir}`, true],
      ] as const) {
        const before = readdirSync(join(file, "..")).length;
        const child = execa(join(host.bin, "veneer"), ["base", "export", "long", to], { reject: false });
        if (begun) await waitFor(() => readdirSync(join(file, "..")).length > before);
        child.kill(signal);
        const outcome = await child;
        expect(outcome.exitCode).not.toBe(0);
        expect(readFileSync(file, "utf8")).toBe("old");
        expect(existsSync(dir)).toBe(false);
        if (signal === "SIGTERM" && begun) {
          expect(outcome.stderr).toMatch(/interrupted by SIGTERM/);
          expect(readdirSync(join(file, ".."))).toEqual(["x.tar.xz"]);
        }
      }
      if (signal === "SIGTERM") expect(leftovers()).toEqual([]);
    }
    rmSync(join(file, ".."), { recursive: true });
    mkdirSync(join(file, ".."));
    await host.ok("base", "export", "source", `oci:${dir}`);
    expect(readdirSync(join(file, ".."))).toEqual(["image"]);
  });
});

/** The manifest of a layer with every whiteout as a device, and no mark for the other kind. */
async function canonical(layer: string): Promise<string> {
  const copy = mkdtempSync(join(host.dir, "canonical-"));
  await must("cp", ["-aT", layer, copy]);
  const script = `
    rm xwhite/a; mknod xwhite/a c 0 0; touch -r "$1/xwhite/a" xwhite/a; chmod 0 etc/deleted gone xwhite/a
    setfattr -x trusted.overlay.opaque xwhite; setfattr -x trusted.overlay.opaque .
    touch -r "$1/xwhite" xwhite; touch -r "$1" .; touch -r "$1/etc" etc`;
  await must("bash", ["-ec", script, "sh", layer], { cwd: copy });
  return treeManifest(copy);
}
