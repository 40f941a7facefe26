import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const source = join(host.dir, "so urce:,\\\"'ä");
afterAll(() => host.remove());

/** Everything that makes up a tree, one line an entry. */
async function manifest(dir: string): Promise<string> {
  const find = await must(
    "sh",
    [
      "-c",
      "find . -printf '%P %y %m %U:%G %T@ %l %n ' \\( -type f -printf '%s %b\\n' -o -printf '\\n' \\) | sort; find . -type f -exec sha256sum {} + | sort; getfattr -R -h -d -m - -e hex .; getfacl -R -P -n .",
    ],
    { cwd: dir },
  );
  return find;
}

const tree = (staging: string) => join(host.root, "staging", staging, "layer/tree");
const store = (kind: string) => readdirSync(join(host.root, kind));
const layerOf = async (name: string): Promise<string> =>
  JSON.parse(await host.ok("base", "show", name, "--json")).layers[0].path;

beforeAll(() => {
  const script = `
    mkdir etc dir "na me" sticky; echo hi >etc/x; ln etc/x "na me/y"; ln -s /etc l; ln -s 'dang ling' l2
    cp /bin/busybox b; setcap cap_net_raw+ep b; chmod 4755 b
    mknod null c 1 3; mknod blk b 7 9; mkfifo pipe; truncate -s 20M sparse; printf x | dd of=sparse bs=1 seek=5M conv=notrunc status=none
    echo a >acl; setfacl -m u:1234:r acl; setfacl -d -m g:77:rwx dir; setfattr -n user.note -v 'ünï' etc/x
    chown 1234:5678 dir etc/x; chown -h 4:5 l; chmod 1777 sticky; chmod 2750 dir
    : > "$(printf 'not\\377utf8')"; : > 'back\\slash'; : > "$(printf 'new\\nline')"
    touch -d '2011-02-03 04:05:06.789 UTC' etc/x dir . ; touch -h -d 2009-01-01 l`;
  mkdirSync(source, { recursive: true });
  execFileSync("sh", ["-ec", script], { cwd: source });
});

describe("base import", () => {
  it("keeps everything of a directory", async () => {
    expect(await host.ok("base", "import", "dir", source)).toBe("dir@1");
    expect(await manifest(await layerOf("dir"))).toBe(await manifest(source));
  });

  const create = ["--xattrs", "--xattrs-include=*", "--acls", "-S", "-C", source, "-cf"];
  for (const [kind, flags] of [
    ["tar", []],
    ["gz", ["-z"]],
    ["xz", ["-J"]],
    ["zst", ["--zstd"]],
  ] as const) {
    it(`keeps everything of a ${kind} file and stream, whatever its name`, async () => {
      const file = join(host.dir, `archive of ${kind}: x`);
      await must("tar", [...flags, ...create, file, "."]);
      expect(await host.ok("base", "import", kind, file)).toBe(`${kind}@1`);
      expect(await manifest(await layerOf(kind))).toBe(await manifest(source));
      const piped = await sh("sh", [
        "-c",
        'cat "$1" | "$2" base import piped -',
        "sh",
        file,
        `${host.bin}/veneer`,
      ]);
      expect(piped.status).toBe(0);
      expect(await manifest(await layerOf("piped"))).toBe(await manifest(source));
    });
  }

  it("makes the next version of a base that exists, and says so", async () => {
    const again = await host.veneer("base", "import", "dir", source, "--always");
    expect(again.stdout).toBe("dir@2");
    expect(again.stderr).toBe("veneer: dir existed: version 2 is now its current one");
  });

  it("leaves out the store and what is mounted below the source", async () => {
    const tree = join(host.dir, "around");
    mkdirSync(join(tree, "mnt"), { recursive: true });
    mkdirSync(join(tree, "st[o]re"));
    writeFileSync(join(tree, "file"), "x");
    await must("mount", ["-t", "tmpfs", "none", join(tree, "mnt")]);
    writeFileSync(join(tree, "mnt/hidden"), "x");
    try {
      const args = ["--root", join(tree, "st[o]re"), "--run", host.run];
      const made = await host.veneer(...args, "base", "import", "self", tree);
      expect(made).toMatchObject({ status: 0, stdout: "self@1" });
      expect(made.stderr).toMatch(/mnt' is a mount point/);
      const shown = JSON.parse(await host.ok(...args, "base", "show", "self", "--json"));
      expect(readdirSync(shown.layers[0].path).sort()).toEqual(["file", "mnt"]);
      expect(readdirSync(join(shown.layers[0].path, "mnt"))).toEqual([]);
    } finally {
      await must("umount", [join(tree, "mnt")]);
    }
  });

  it("follows a symbolic link to its source, and none in the tree", async () => {
    const link = (name: string, to: string) => {
      symlinkSync(to, join(host.dir, name));
      return join(host.dir, name);
    };
    const [dir, again] = [link("current", source), link("again", "current")];
    const tar = link("current.tar", join(host.dir, "archive of tar: x"));
    for (const path of [dir, again, `${dir}/`, tar]) {
      expect(await host.ok("base", "import", "linked", path, "--whole", "--always")).toMatch(/^linked@/);
      expect(await manifest(await layerOf("linked"))).toBe(await manifest(source));
    }
    await host.ok("base", "import", "linked", dir, "--in-place");
    expect(await layerOf("linked")).toBe(source);
    await host.ok("base", "rm", "linked");
    const outcome = await host.veneer("base", "import", "linked", link("dangling", "nowhere"));
    expect([outcome.status, outcome.stderr]).toEqual([1, expect.stringMatching(/dangling.*ENOENT/)]);
  });

  it("takes a directory in place, and warns", async () => {
    const made = await host.veneer("base", "import", "here", source, "--in-place");
    expect(made.stdout).toBe("here@1");
    expect(made.stderr).toMatch(/changing it under running containers is undefined/);
    expect(await layerOf("here")).toBe(source);
  });

  it("refuses what is no source with one line, and leaves nothing behind", async () => {
    const before = [store("layers"), store("bases")];
    const text = join(host.dir, "text");
    writeFileSync(text, "no tar\n");
    const cut = join(host.dir, "cut.gz");
    execFileSync("sh", ["-c", `tar -C "$1" -cz . 2>/dev/null | head -c 3000 >"$2"`, "sh", source, cut]);
    for (const [args, status, message] of [
      [["bad", join(host.dir, "missing")], 1, /ENOENT/],
      [["bad", "/dev/null"], 2, /neither a directory nor a tar/],
      [["bad", text], 1, /does not look like a tar archive.*hint/],
      [["bad", cut], 1, /unexpected end of file.*hint/],
      [["bad", "-"], 1, /is empty/],
      [["../bad", source], 2, /base name/],
      [["bad", text, "--in-place"], 2, /not a directory/],
      [["bad"], 2, /needs SOURCE/],
    ] as const) {
      const outcome = await host.veneer("base", "import", ...args);
      expect(outcome.status, outcome.stderr).toBe(status);
      expect(outcome.stderr).toMatch(message);
      expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
      expect(outcome.stdout).toBe("");
    }
    expect([store("layers"), store("bases")]).toEqual(before);
    expect([store("staging"), store("trash")]).toEqual([[], []]);
  });

  it("says so when the store is full, and leaves nothing behind", async () => {
    const small = join(host.dir, "small");
    mkdirSync(small);
    await must("mount", ["-t", "tmpfs", "-o", "size=4m", "none", small]);
    const big = join(host.dir, "big");
    mkdirSync(big);
    writeFileSync(join(big, "file"), new Uint8Array(8 * 2 ** 20));
    try {
      const outcome = await host.veneer("--root", join(small, "store"), "base", "import", "big", big);
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).toMatch(/No space left on device.*hint: .*veneer gc/);
      expect(readdirSync(join(small, "store/staging"))).toEqual([]);
      expect(readdirSync(join(small, "store/layers"))).toEqual([]);
    } finally {
      await must("umount", [small]);
    }
  });

  it("does not wait for a writer when the stream is bad", async () => {
    const writer = spawn("sh", ["-c", "head -c 100000 /dev/zero; exec cat"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const outcome = await execa(join(host.bin, "veneer"), ["base", "import", "bad", "-"], {
      stdin: writer.stdout,
      reject: false,
    });
    expect(outcome.stderr).toMatch(/holds no files/);
    writer.kill("SIGKILL");
  });

  it("cleans up when it is interrupted", async () => {
    const child = execa(join(host.bin, "veneer"), ["base", "import", "slow", "-"], { reject: false });
    child.stdin.write(readFileSync(join(host.dir, "archive of tar: x")).subarray(0, 100_000));
    await waitFor(() =>
      store("staging").some((name) => existsSync(tree(name)) && readdirSync(tree(name)).length > 0),
    );
    child.kill("SIGTERM");
    const outcome = await child;
    expect(outcome.exitCode).toBe(1);
    expect(outcome.stderr).toMatch(/interrupted by SIGTERM/);
    expect([store("staging"), store("trash")]).toEqual([[], []]);
  });
});

describe("base rm", () => {
  it("removes a version with its layer, but not the current one", async () => {
    const own = join(host.dir, "own");
    mkdirSync(own);
    for (const version of [1, 2]) {
      writeFileSync(join(own, "version"), `${version}`);
      expect(await host.ok("base", "import", "own", own)).toBe(`own@${version}`);
    }
    const layers = store("layers").length;
    expect((await host.veneer("base", "rm", "own@2")).stderr).toMatch(/is the current version/);
    expect(await host.veneer("base", "rm", "own@1")).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(store("layers")).toHaveLength(layers - 1);
    expect((await host.veneer("base", "show", "own@1")).stderr).toMatch(/no base own@1/);
  });

  it("never gives a number again", async () => {
    await host.ok("base", "use", "dir@1");
    await host.ok("base", "rm", "dir@2");
    expect(await host.ok("base", "import", "dir", source, "--always")).toBe("dir@3");
  });

  it("refuses while a container or an instance uses it, and says which", async () => {
    await host.ok("base", "import", "used", source);
    mkdirSync(join(host.root, "instances/web1"), { recursive: true });
    const instance = {
      base: "used",
      version: 1,
      digest: "x",
      generation: 1,
      created: "",
      opaque: [],
      mask: [],
    };
    writeFileSync(join(host.root, "instances/web1/instance.json"), JSON.stringify(instance));
    const refused = await host.veneer("base", "rm", "used");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/used is used by instance web1 \(on used@1\)/);
    expect(await host.ok("base", "show", "used")).toMatch(/instance web1/);
    await must("rm", ["-r", join(host.root, "instances/web1")]);
    await host.ok("base", "rm", "used");
  });

  it("never touches a directory in place", async () => {
    const before = await manifest(source);
    await host.ok("base", "rm", "here");
    expect(await manifest(source)).toBe(before);
  });

  it("leaves nothing of a base, and says so when there is none", async () => {
    for (const { name } of JSON.parse(await host.ok("base", "ls", "--json")))
      await host.ok("base", "rm", name);
    expect([store("layers"), store("bases"), store("trash")]).toEqual([[], [], []]);
    expect((await host.veneer("base", "rm", "dir")).stderr).toMatch(/no base dir/);
  });
});
