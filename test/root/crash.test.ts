/** Kills and power losses at every step of a change: what is left is the old state or the new one. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Host, makeHost, must, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { addImage, tarOf } from "../helpers/image.ts";
import { alone, distinctMoments, inject, killAt, momentsOf, recordTo } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

interface Version {
  readonly version: number;
  readonly current: boolean;
  readonly origin: string;
}

/** Everything published: `debian: 1 2*`. Each version is verified. */
async function published(host: Host): Promise<string[]> {
  const lines: string[] = [];
  for (const { name } of JSON.parse(await host.ok("base", "ls", "--json"))) {
    const log: Version[] = JSON.parse(await host.ok("base", "log", name, "--json"));
    for (const { version } of log) await host.ok("base", "verify", `${name}@${version}`);
    const numbers = log.reverse().map(({ version, current }) => `${version}${current ? "*" : ""}`);
    lines.push(`${name}: ${numbers.join(" ")}`);
  }
  return lines;
}

/** After gc nothing is left but what is published, and open sessions. */
async function expectTidy(host: Host): Promise<void> {
  await host.ok("gc");
  const bases = join(host.root, "bases");
  const manifests = readdirSync(bases).flatMap((name) =>
    readdirSync(join(bases, name, "versions"))
      .filter((file) => file.endsWith(".json"))
      .map((file) => join(bases, name, "versions", file)),
  );
  const needed = manifests.flatMap((file): string[] =>
    JSON.parse(readFileSync(file, "utf8")).layers.flatMap(({ id }: { id?: string }) => id ?? []),
  );
  expect(readdirSync(join(host.root, "layers")).sort()).toEqual([...new Set(needed)].sort());
  for (const kind of ["staging", "trash"]) expect(readdirSync(join(host.root, kind))).toEqual([]);
}

describe("a kill at each step", () => {
  // in memory: what is on disk when is the matter of the power losses below
  let memory: string;
  let host: Host;
  let source: string;
  afterAll(async () => {
    await must("umount", ["-l", memory]);
    rmSync(memory, { recursive: true });
  });

  beforeAll(async () => {
    memory = mkdtempSync("/tmp/veneer-memory-");
    await must("mount", ["-t", "tmpfs", "-o", "size=256m", "none", memory]);
    host = makeHost(memory);
    source = makeTree(join(host.dir, "source"));
    await host.ok("base", "import", "debian", source);
  });

  /** Between two of these calls the names on the disk stay as they are. */
  const CHANGES = ["renameat2", "mkdirat", "unlinkat", "linkat"];

  /**
   * Runs `args` once, and then again and again, killed at each distinct call that changes something; `prepare` brings
   * about the state before, `check` looks at the state after a kill.
   */
  async function killAtEachStep(
    args: readonly string[],
    prepare: () => Promise<unknown>,
    check: () => Promise<unknown>,
  ): Promise<number> {
    const program = [PROGRAM, ...storeOptions(host), ...args];
    const record = join(host.dir, "calls");
    await prepare();
    await must("strace", [...alone(recordTo(record, CHANGES)), ...program]);
    const moments = distinctMoments(record);
    for (const moment of moments) {
      await prepare();
      const { stderr } = await sh("strace", [...alone(killAt(moment)), ...program]);
      expect(stderr, JSON.stringify(moment)).toBe("");
      await check();
    }
    return moments.length;
  }

  it("of an import leaves the base or no base", async () => {
    const kills = await killAtEachStep(
      ["base", "import", "new", source],
      async () => {
        if (existsSync(join(host.root, "bases/new"))) await host.ok("base", "rm", "new");
      },
      async () => {
        expect(["debian: 1*", "debian: 1*,new: 1*"]).toContain((await published(host)).join());
        await expectTidy(host);
      },
    );
    expect(kills).toBeGreaterThan(10);
    await host.ok("base", "rm", "new");
  });

  it("of the import of a next version leaves the old version or both", async () => {
    await killAtEachStep(
      ["base", "import", "line", source, "--always"],
      async () => {
        if (existsSync(join(host.root, "bases/line"))) await host.ok("base", "rm", "line");
        await host.ok("base", "import", "line", source, "--in-place");
      },
      async () => {
        expect(["debian: 1*,line: 1*", "debian: 1*,line: 1 2*"]).toContain((await published(host)).join());
        await expectTidy(host);
      },
    );
    await host.ok("base", "rm", "line");
  });

  it("of the import of an image leaves the base or no base", async () => {
    const layers = ["a", "b", "c"].map((name) =>
      tarOf([{ name: "./", type: "5" }, { name }, { name: ".wh.x" }]),
    );
    const image = addImage(join(host.dir, "image"), "1", layers);
    const kills = await killAtEachStep(
      ["base", "import", "image", image],
      async () => {
        if (existsSync(join(host.root, "bases/image"))) await host.ok("base", "rm", "image");
      },
      async () => {
        expect(["debian: 1*", "debian: 1*,image: 1*"]).toContain((await published(host)).join());
        await expectTidy(host);
      },
    );
    expect(kills).toBeGreaterThan(20);
    await host.ok("base", "rm", "image");
  });

  it("of a commit leaves the session, or one that a second commit finishes, or the new version", async () => {
    const prepare = async () => {
      if (existsSync(join(host.root, "bases/apps"))) {
        await host.veneer("base", "abort", "apps");
        await host.ok("base", "rm", "apps");
      }
      await host.ok("base", "new", "apps", "--from", "debian");
      writeFileSync(join(await host.ok("base", "edit", "apps"), "precious"), "x");
    };
    const kills = await killAtEachStep(["base", "commit", "apps"], prepare, async () => {
      await host.ok("gc");
      const before = (await published(host)).join();
      expect(["apps: 1*,debian: 1*", "apps: 1 2*,debian: 1*"]).toContain(before);
      const finished = before.startsWith("apps: 1 2*");
      if (!finished) expect(await host.ok("base", "commit", "apps")).toBe("apps@2");
      const { layers } = JSON.parse(await host.ok("base", "show", "apps", "--json"));
      expect(readdirSync(layers[0].path)).toEqual(["precious"]);
      expect(await published(host)).toContain("apps: 1 2*");
      // the finished session goes with the next look at it
      await host.veneer("base", "commit", "apps");
      await expectTidy(host);
    });
    expect(kills).toBeGreaterThan(10);
    await prepare();
    await host.ok("base", "abort", "apps");
    await host.ok("base", "rm", "apps");
  });

  it("of an edit with a command leaves the old version or both", async () => {
    await killAtEachStep(
      ["base", "edit", "apps", "--", "touch", "/new"],
      async () => {
        if (existsSync(join(host.root, "bases/apps"))) await host.ok("base", "rm", "apps");
        await host.ok("base", "new", "apps", "--from", "debian");
      },
      async () => {
        expect(["apps: 1*,debian: 1*", "apps: 1 2*,debian: 1*"]).toContain((await published(host)).join());
        await expectTidy(host);
        expect(existsSync(join(host.root, "bases/apps/session"))).toBe(false);
      },
    );
    await host.ok("base", "rm", "apps");
  });

  it("of 'base rm' leaves the base or none", async () => {
    await killAtEachStep(
      ["base", "rm", "gone"],
      async () => {
        if (!existsSync(join(host.root, "bases/gone"))) await host.ok("base", "import", "gone", source);
      },
      async () => {
        expect(["debian: 1*", "debian: 1*,gone: 1*"]).toContain((await published(host)).join());
        await expectTidy(host);
      },
    );
    if (existsSync(join(host.root, "bases/gone"))) await host.ok("base", "rm", "gone");
  });

  it("of 'base use' leaves the one or the other current, of gc less or nothing", async () => {
    await host.ok("base", "new", "apps", "--from", "debian");
    await host.ok("base", "edit", "apps", "--", "touch", "/new");
    await killAtEachStep(
      ["base", "use", "apps@1"],
      () => host.ok("base", "use", "apps@2"),
      async () => expect(["apps: 1* 2", "apps: 1 2*"]).toContain((await published(host))[0]),
    );
    await host.ok("base", "rm", "apps");
    await killAtEachStep(
      ["gc"],
      async () => {
        for (const path of ["layers/x/tree", "ephemeral/y/upper", "staging/z", "trash/t"]) {
          mkdirSync(join(host.root, path), { recursive: true });
        }
      },
      async () => {
        expect(await published(host)).toEqual(["debian: 1*"]);
        await expectTidy(host);
      },
    );
  });
});

describe("a power loss", () => {
  const dir = join("/tmp", `veneer-power-${process.pid}`);
  const image = join(dir, "image");
  const point = join(dir, "mnt");
  let host: Host;

  beforeAll(async () => {
    mkdirSync(point, { recursive: true });
    await must("truncate", ["-s", "320M", image]);
    await must("mkfs.xfs", ["-q", image]);
    await must("mount", ["-o", "loop", image, point]);
    host = makeHost(point);
    makeTree(join(host.dir, "source"));
    for (let index = 0; index < 300; index++) {
      writeFileSync(join(host.dir, "source/home", `file${index}`), new Uint8Array(20_000).fill(index));
    }
    await must("sync", []);
  });
  afterAll(async () => {
    await sh("umount", ["-l", point]);
    rmSync(dir, { recursive: true, force: true });
  });

  const loseAndRestore = async () => {
    await must("xfs_io", ["-x", "-c", "shutdown", point]);
    await must("umount", [point]);
    await must("mount", ["-o", "loop", image, point]);
  };

  it("right after a command loses nothing that it reported", async () => {
    const steps = [
      () => host.ok("base", "import", "debian", join(host.dir, "source")),
      () => host.ok("base", "edit", "debian", "--", "sh", "-c", "echo 2 >/two; rm /home/file1"),
      () => host.ok("base", "use", "debian@1"),
      () => host.ok("base", "new", "apps", "--from", "debian@2"),
      () => host.ok("base", "rm", "apps"),
      () => host.ok("base", "export", "debian@2", `oci:${host.dir}/out:1`),
      () => host.ok("base", "import", "image", `oci:${host.dir}/out:1`),
      () => host.ok("base", "export", "image", `${host.dir}/image.tar`),
      () => host.ok("base", "import", "tar", `${host.dir}/image.tar`),
    ];
    const states = [
      ["debian: 1*"],
      ["debian: 1 2*"],
      ["debian: 1* 2"],
      ["apps: 1*", "debian: 1* 2"],
      ["debian: 1* 2"],
      ["debian: 1* 2"],
      ["debian: 1* 2", "image: 1*"],
      ["debian: 1* 2", "image: 1*"],
      ["debian: 1* 2", "image: 1*", "tar: 1*"],
    ];
    for (const [index, step] of steps.entries()) {
      await step();
      await loseAndRestore();
      expect(await published(host)).toEqual(states[index]);
    }
    for (const name of ["image", "tar"]) await host.ok("base", "rm", name);
    await expectTidy(host);
  });

  // what is durable changes with these calls alone
  it("before each fsync of an import leaves the base or no base", async () => {
    const words = ["base", "import", "new", join(host.dir, "source")];
    const program = [PROGRAM, ...storeOptions(host), ...words];
    const record = join(dir, "calls");
    await must("strace", [...recordTo(record, ["fsync"]), ...program]);
    const before = (await published(host)).filter((line) => !line.startsWith("new:"));
    const moments = momentsOf(record);
    expect(moments.length).toBeGreaterThan(5);
    for (const moment of moments) {
      if (existsSync(join(host.root, "bases/new"))) await host.ok("base", "rm", "new");
      await must("sync", ["-f", point]);
      await sh("strace", [...killAt(moment), ...program]);
      await loseAndRestore();
      expect([before, [...before, "new: 1*"]]).toContainEqual(await published(host));
      await expectTidy(host);
    }
  });
});

describe("two at once", () => {
  let host: Host;
  let source: string;
  beforeAll(() => {
    host = makeHost();
    source = makeTree(join(host.dir, "source"));
  });
  afterAll(() => host.remove());

  it("import the same base: each gets a version, and gc takes none", async () => {
    const imports = [1, 2, 3, 4].map(() => host.ok("base", "import", "debian", source, "--always"));
    const collectors = [host.veneer("gc"), host.veneer("gc")];
    const names = await Promise.all(imports);
    expect((await Promise.all(collectors)).map(({ status }) => status)).toEqual([0, 0]);
    expect(names.sort()).toEqual(["debian@1", "debian@2", "debian@3", "debian@4"]);
    expect(await published(host)).toEqual([expect.stringMatching(/^debian: 1 2 3 4\*$/)]);
    await expectTidy(host);
  });

  it("make the store", async () => {
    const fresh = ["--root", join(host.dir, "fresh-store"), "--run", join(host.dir, "fresh-run")];
    const slowly = alone(inject("mkdirat", "delay_exit=100000"));
    const steps = (name: string) => [
      ["base", "import", name, source, "--in-place"],
      ["run", name, "--", "true"],
    ];
    const made = () =>
      ["fresh-store", "fresh-run"]
        .map((name) => join(host.dir, name))
        .flatMap((path) => (existsSync(path) ? [path, ...readdirSync(path)] : [])).length;
    for (const [index] of steps("").entries()) {
      const first = must("strace", [...slowly, PROGRAM, ...fresh, ...(steps("a")[index] as string[])]);
      const before = made();
      const others = ["b", "c", "d"].map(async (name, place) => {
        await waitFor(() => made() > before + place);
        return host.veneer(...fresh, ...(steps(name)[index] as string[]));
      });
      await first;
      for (const outcome of await Promise.all(others))
        expect(outcome).toMatchObject({ status: 0, stderr: expect.not.stringMatching(/ENOENT/) });
    }
  });

  it("import images that share layers: each gets them, once, and gc takes none", async () => {
    const root = { name: "./", type: "5" };
    const shared = tarOf([root, { name: "shared", data: "s".repeat(5_000_000) }]);
    const other = tarOf([{ name: "no-root" }]);
    const source = addImage(join(host.dir, "images"), "1", [shared, other]);
    addImage(join(host.dir, "images"), "2", [shared, tarOf([root, { name: "b" }])]);
    const images = [source, source, `oci:${host.dir}/images:2`];
    const before = readdirSync(join(host.root, "layers")).length;
    const imports = images.map((image, index) => host.ok("base", "import", `image${index}`, image));
    const collectors = [host.veneer("gc"), host.veneer("gc")];
    expect(await Promise.all(imports)).toEqual(["image0@1", "image1@1", "image2@1"]);
    expect((await Promise.all(collectors)).map(({ status }) => status)).toEqual([0, 0]);
    expect(readdirSync(join(host.root, "layers"))).toHaveLength(before + 3);
    await published(host);
    for (const index of images.keys()) await host.ok("base", "rm", `image${index}`);
    await expectTidy(host);
  });

  it("edit the same base: one works, the other is told", async () => {
    await must("mkfifo", [join(host.dir, "pipe")]);
    const words = ["base", "edit", "debian", "--always", "-v", `${host.dir}:/mnt`, "--", "cat", "/mnt/pipe"];
    const edits = [1, 2].map(() => host.veneer(...words));
    await Promise.race(edits);
    await must("sh", ["-c", ': >"$0/pipe"', host.dir]);
    const outcomes = (await Promise.all(edits)).sort((a, b) => a.status - b.status);
    expect(outcomes[0]).toMatchObject({ status: 0, stdout: "debian@5" });
    expect(outcomes[1]?.status).toBe(1);
    expect(outcomes[1]?.stderr).toMatch(/is being edited by 'cat \/mnt\/pipe'|has an editing session/);
  });

  it("remove the same base: one does, the other says that there is none", async () => {
    const outcomes = await Promise.all([1, 2].map(() => host.veneer("base", "rm", "debian")));
    expect(outcomes.map(({ status }) => status).sort()).toEqual([0, 1]);
    expect(outcomes.find(({ status }) => status === 1)?.stderr).toMatch(/no base debian/);
    await expectTidy(host);
  });

  it("remove and start: the start has the base, or there is none", async () => {
    for (let round = 0; round < 5; round++) {
      await host.ok("base", "import", "b", source);
      const [created, removed] = await Promise.all([
        host.veneer("create", "i", "b"),
        host.veneer("base", "rm", "b"),
      ]);
      if (created.status === 0) {
        expect(removed.stderr).toMatch(/used by instance i/);
        await host.ok("rm", "i");
        await host.ok("base", "rm", "b");
      } else {
        expect(created.stderr).toMatch(/no base b/);
        expect(removed.status).toBe(0);
      }
    }
    await expectTidy(host);
  });
});
