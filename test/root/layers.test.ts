import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";

const host = makeHost();
/** from Linux 6.8 on as many as overlayfs takes, before what fits into one option */
const MOST = isLinux("6.8") ? 500 : 106;
afterAll(() => host.remove());

/** Layers, bottom first: a script that runs in the tree of each. */
const SCRIPTS = [
  `mkdir -p proc sys dev etc a/b/c keep dir/inner todir empty; : >etc/resolv.conf; echo 1 >a/b/c/one; echo 1 >a/file; ln a/file a/link; echo x >keep/x
   echo f >tofile; mkdir tofile.d; echo x >todir/hidden; ln -s a l; mknod null c 1 3; chmod 2750 dir; chown 5:6 dir
   setfattr -n user.note -v n dir; setfattr -n trusted.overlay.overlay.own -v o empty; setfattr -n "$(printf 'user.\\377')" -v b empty
   cp /bin/busybox busybox; setcap cap_net_raw+ep busybox; touch -d 2011-01-01 a/file keep
   : >"$(printf 'not\\377utf8')"; mkdir gone; echo x >gone/y; mkdir closed; echo x >closed/lower`,
  `mkdir -p a/b; mknod a/b/c c 0 0; echo 2 >a/b/new; mkdir tofile; echo x >tofile/in; echo file >todir; mknod gone c 0 0`,
  `mkdir -p a/b/c closed; echo back >a/b/c/back; setfattr -n trusted.overlay.opaque -v y closed; echo x >closed/upper
   mkdir gone; echo again >gone/z; mkdir -p dir; chmod 711 dir; mknod l c 0 0; mkdir keep; chmod 500 keep`,
  `mkdir todir; echo dir >todir/again; mkdir -p closed; echo top >closed/top; mknod tofile c 0 0`,
];

async function makeLayers(store: string, count: number): Promise<{ id: string }[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index++) {
    const tree = join(store, "layers", `l${index}`, "tree");
    mkdirSync(tree, { recursive: true, mode: 0o755 });
    await (SCRIPTS[index] === undefined
      ? writeFileSync(join(tree, `file${index}`), `${index}`)
      : must("sh", ["-ec", SCRIPTS[index] as string], { cwd: tree }));
    const layer = { digest: `sha256:${index}`, bytes: 4096, entries: 2, created: "", origin: "test" };
    writeFileSync(join(tree, "../layer.json"), JSON.stringify(layer));
    ids.unshift(`l${index}`);
  }
  return ids.map((id) => ({ id }));
}

async function show(dir: string): Promise<string> {
  const script = `find . -printf '%P %y %m %U:%G %T@ %l %s\\n' | sed 's/^\\(.* d .*\\) [0-9]*$/\\1/' | grep -Ev '^(|tmp|root) d ' | sort
    find . -type f -exec sha256sum {} + | sort; getfattr -R -h -d -m 'user|security|trusted' -e hex .; ls -i a/file a/link | cut -d' ' -f1 | uniq | wc -l`;
  return must("sh", ["-c", script], { cwd: dir });
}

async function publish(name: string, layers: object[]) {
  const directory = join(host.root, "bases", name);
  mkdirSync(join(directory, "versions"), { recursive: true });
  const manifest = { layers, digest: "sha256:test", created: "", origin: "test" };
  writeFileSync(join(directory, "versions/1.json"), JSON.stringify(manifest));
  writeFileSync(join(directory, "base.json"), JSON.stringify({ current: 1, last: 1 }));
}

describe("many layers", () => {
  beforeAll(async () => {
    await host.ok("gc");
    const layers = await makeLayers(host.root, MOST);
    await publish("many", layers);
    await publish("short", layers.slice(-SCRIPTS.length));
    const inPlace = join(host.dir, "in place");
    mkdirSync(inPlace);
    await must(
      "sh",
      ["-ec", `${SCRIPTS[0]}; mkdir -p closed a/b/c; echo x >closed/below; echo x >a/b/c/below`],
      {
        cwd: inPlace,
      },
    );
    await publish("here", [...layers.slice(-110, -1), { path: inPlace }]);
  });

  const mounted = async (ref: string): Promise<string> => {
    const id = ref.replace("@", "-");
    await host.ok("create", id, ref);
    const point = await host.ok("mount", id);
    const shown = await show(point);
    await host.ok("umount", id);
    await host.ok("rm", id);
    return shown;
  };

  it("mounts as many as the kernel takes", async () => {
    const shown = await mounted("many");
    expect(shown).toContain(`file${MOST - 1} f`);
    expect(shown).toContain("file4 f");
  });

  it("flattens a long chain when a version is stacked on it: one layer that shows the same, by hard links", async () => {
    const before = await mounted("many@1");
    await host.ok("base", "edit", "many", "--always", "--", "/busybox", "true");
    const after = JSON.parse(await host.ok("base", "show", "many", "--json"));
    expect(after.layers).toHaveLength(2);
    const flat = after.layers[1];
    expect(flat.origin).toBe(`${MOST} layers flattened`);
    expect(await mounted("many@2")).toBe(before);
    // no copy of the data: the largest file is the same inode, and only directories count
    expect(statSync(join(flat.path, "busybox")).ino).toBe(
      statSync(join(host.root, "layers/l0/tree/busybox")).ino,
    );
    expect(flat.bytes).toBeLessThan(statSync(join(flat.path, "busybox")).size);
    expect((await must("find", [flat.path, "-type", "c", "!", "-name", "null"])).trim()).toBe("");
    expect((await host.veneer("base", "verify", "many")).stdout).toMatch(/^\w+: ok.*\n\w+: ok/);
  });

  it("keeps what a container sets below trusted.overlay., in a fresh upper too", async (context) => {
    if (!isLinux("6.7")) return context.skip("overlayfs stores no such attribute before Linux 6.7");
    await host.ok("create", "own", "short", "--opaque", "/empty");
    const point = await host.ok("mount", "own");
    const seen = await must("getfattr", ["--absolute-names", "-d", "-m", "-", join(point, "empty")]);
    await host.ok("umount", "own");
    await host.ok("rm", "own");
    expect(seen).toContain('trusted.overlay.own="o"');
  });

  it("leaves a directory in place below, with the whiteouts that hide parts of it", async () => {
    const before = await mounted("here@1");
    expect(before).not.toContain("closed/below");
    await host.ok("base", "edit", "here", "--always", "--", "/busybox", "true");
    const after = JSON.parse(await host.ok("base", "show", "here", "--json"));
    expect(after.layers.map(({ origin }: { origin?: string }) => origin)).toEqual([
      "/busybox true",
      "109 layers flattened",
      undefined,
    ]);
    expect(await mounted("here@2")).toBe(before);
  });

  it("leaves a short chain alone", async () => {
    await host.ok("base", "edit", "short", "--always", "--", "/busybox", "true");
    expect(JSON.parse(await host.ok("base", "show", "short", "--json")).layers).toHaveLength(
      SCRIPTS.length + 1,
    );
  });

  it("needs the old layers no longer when their versions are gone", async () => {
    const before = await mounted("many@2");
    await host.ok("base", "rm", "many@1");
    for (const name of ["here", "short"]) await host.ok("base", "rm", name);
    expect(readdirSync(join(host.root, "layers"))).toHaveLength(2);
    expect(await mounted("many@2")).toBe(before);
  });
});

describe("base verify", () => {
  const layer = async (name: string): Promise<string> =>
    JSON.parse(await host.ok("base", "show", name, "--json")).layers[0].path;
  const verify = async (name: string) =>
    JSON.parse((await host.veneer("base", "verify", name, "--json")).stdout);

  it("finds nothing wrong with what was imported, and takes the digests of a large layer the first time", async () => {
    const source = join(host.dir, "source");
    mkdirSync(join(source, "d"), { recursive: true });
    writeFileSync(join(source, "a b=ü\\"), "content");
    writeFileSync(join(source, "d/c"), "content");
    await host.ok("base", "import", "small", source);
    expect(await host.ok("base", "verify", "small")).toMatch(/^[0-9a-f]{12}: ok, 4 entries/);
    for (let index = 0; index < 9; index++)
      writeFileSync(join(source, `big${index}`), new Uint8Array(8e6).fill(index + 1));
    await host.ok("base", "import", "large", source);
    expect((await verify("large")).layers[0].status).toBe("recorded");
    expect((await verify("large")).layers[0].status).toBe("ok");
  });

  it.each(["small", "large"])("finds every change in a %s layer, and names it", async (name) => {
    const tree = await layer(name);
    const script = `cp -a "$PWD" ../saved; touch -r d/c ref; printf X | dd of=d/c conv=notrunc status=none; touch -r ref d/c; rm ref
      chmod 600 a*; ln -s x new; touch -r ../saved . ; touch -r ../saved/d d`;
    await must("sh", ["-ec", script], { cwd: tree });
    const verdict = await verify(name);
    expect(verdict.ok).toBe(false);
    expect(verdict.layers[0].differences).toEqual([
      { path: "a b=ü\\", what: ["mode"] },
      { path: "new", what: ["added"] },
      { path: "d/c", what: ["content"] },
    ]);
    const told = await host.veneer("base", "verify", name);
    expect(told.status).toBe(1);
    expect(told.stdout).toMatch(
      /changed.*\n {2}a\\040b\\075ü\\134: mode\n {2}new: added\n {2}d\/c: content$/,
    );
    await must("rm", ["-r", tree]);
    await must("mv", [join(tree, "../saved"), tree]);
    expect((await host.veneer("base", "verify", name)).status).toBe(0);
  });

  it("finds a changed listing, a changed manifest and a missing layer", async () => {
    const tree = await layer("small");
    const listing = join(tree, "../listing");
    const text = readFileSync(listing, "utf8");
    writeFileSync(listing, text.replace("size=7", "size=8"));
    expect((await verify("small")).layers[0].differences).toEqual([{ path: ".", what: ["listing changed"] }]);
    writeFileSync(listing, text);
    const manifest = join(host.root, "bases/small/versions/1.json");
    const old = readFileSync(manifest, "utf8");
    writeFileSync(manifest, old.replace(/sha256:../, "sha256:00"));
    expect((await verify("small")).problems).toEqual(["the digest of small@1 is not that of its layers"]);
    writeFileSync(manifest, old);
    await must("mv", [tree, `${tree}.away`]);
    expect((await verify("small")).layers[0].differences).toEqual([{ path: ".", what: ["missing"] }]);
    await must("mv", [`${tree}.away`, tree]);
    expect((await verify("small")).ok).toBe(true);
  });

  it("says which base is missing, and leaves directories in place alone", async () => {
    expect((await host.veneer("base", "verify", "none")).stderr).toMatch(/no base none/);
    await host.ok("base", "import", "here", host.bin, "--in-place");
    expect(await host.ok("base", "verify", "here")).toBe(`${host.bin}: in place`);
  });
});
