/** `veneer run --uidmap`, and a package manager inside. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeBase, plantBase } from "../helpers/base.ts";
import { must, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";
import { openTo } from "../helpers/userns.ts";

const host = useHost();
const MAP = ["--uidmap", "0:100000:65536"];

beforeAll(() => {
  makeBase(host, "tree");
  openTo(host);
});
afterEach(async () => {
  await expect
    .poll(() => leftovers(host).filter((path) => !/^(store\/instances|run\/held)\//.test(path)))
    .toEqual([]);
  const bundles = join(host.run, "bundles");
  expect(existsSync(bundles) ? readdirSync(bundles) : []).toEqual([]);
});

describe.each(["runc", "crun"])("run with %s", (runtime) => {
  const run = (options: readonly string[], script: string) =>
    host.veneer("run", "tree", "--runtime", runtime, ...options, "--", "sh", "-c", script);

  it("has the base's owners and the ids that are given", async () => {
    const maps = ["--uidmap", "0:100000:1000", "--uidmap", "1000:5000:1", "--gidmap", "0:200000:65536"];
    const script =
      "stat -c %u:%g / /etc/passwd; sed 's/  */ /g' /proc/self/uid_map /proc/self/gid_map; touch /x; ls /sys/kernel | wc -l";
    const outcome = await run(maps, script);
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    expect(outcome.stdout.split("\n").slice(0, -1)).toEqual([
      "0:0",
      "0:0",
      " 0 100000 1000",
      " 1000 5000 1",
      " 0 200000 65536",
    ]);
  });

  it("has no network and a user of the base", async () => {
    const outcome = await run([...MAP, "--network", "none", "-u", "user"], "id -u; ls -d /sys/class/net/*");
    expect(outcome).toMatchObject({ status: 0, stdout: "1000\n/sys/class/net/lo" });
  });

  it("runs a bundle as it is", async () => {
    const dir = join(host.dir, `bundle-${runtime}`);
    await host.ok(
      "bundle",
      "tree",
      dir,
      ...MAP,
      "--network",
      "none",
      "--",
      "sh",
      "-c",
      "touch /a; stat -c %u /a /etc",
    );
    const words = ["--root", join(host.dir, "state"), "run", "--bundle", dir, `userns-${runtime}`];
    expect(await sh(runtime, words, { env: { PATH: host.path } })).toMatchObject({
      status: 0,
      stdout: "0\n0",
    });
  });

  it("keeps an instance", async () => {
    const named = ["--name", `i-${runtime}`];
    expect(await run([...named, ...MAP], "touch /a; chown 7:8 /a")).toMatchObject({ status: 0, stderr: "" });
    expect(await run([...named, "--uidmap", "0:200000:65536"], "stat -c %u:%g /a")).toMatchObject({
      stdout: "7:8",
    });
    expect(await run(named, "stat -c %u:%g /a")).toMatchObject({ stdout: "7:8" });
    await host.ok("rm", `i-${runtime}`);
  });
});

describe("options", () => {
  it.each([
    [["--uidmap", "0:100000"], "CONTAINER:HOST:SIZE"],
    [["--uidmap", "0:1:0"], "CONTAINER:HOST:SIZE"],
    [["--uidmap", "1:100000:10"], "no id for root"],
    [[...MAP, "--userns"], "/etc/subuid"],
  ])("are wrong usage: %j", async (options, said) => {
    const outcome = await host.veneer("run", "tree", ...options, "--", "true");
    expect(outcome).toMatchObject({ status: 2, stderr: expect.stringContaining(said) });
  });
});

// the file is replaced in the test's own mount namespace
describe.skipIf(process.env.VENEER_TEST_NAMESPACE !== "private")("--userns", () => {
  const withRanges = async (text: string, action: () => Promise<void>) => {
    const ranges = join(host.dir, "ranges");
    writeFileSync(ranges, text);
    for (const file of ["/etc/subuid", "/etc/subgid"]) await must("mount", ["--bind", ranges, file]);
    try {
      await action();
    } finally {
      for (const file of ["/etc/subuid", "/etc/subgid"]) await must("umount", [file]);
    }
  };

  it("takes root's ids of /etc/subuid, one range behind the other", async () => {
    await withRanges("alice:1:2\nroot:400000:1000\nroot:500000:10\n", async () => {
      const script = "sed 's/  */ /g' /proc/self/uid_map; stat -c %u /etc";
      const outcome = await host.veneer("run", "tree", "--userns", "--", "sh", "-c", script);
      expect(outcome).toMatchObject({ status: 0, stdout: " 0 400000 1000\n 1000 500000 10\n0" });
    });
  });

  it("says how root gets some", async () => {
    await withRanges("alice:1:2\n", async () => {
      const outcome = await host.veneer("run", "tree", "--userns", "--", "true");
      expect(outcome).toMatchObject({ status: 2, stderr: expect.stringContaining("--add-subuids") });
    });
  });
});

describe("what others of the host reach", () => {
  it("is nothing of the store, and of the records' directory no more than the way through", async () => {
    const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
    await host.ok("run", "tree", ...MAP, "--", "true");
    expect(mode(host.root)).toBe("700");
    expect(mode(host.run)).toBe("711");
    for (const name of readdirSync(host.run)) {
      expect([name, mode(join(host.run, name))]).toEqual([
        name,
        /^(bundles|mapped)$/.test(name) ? "711" : "700",
      ]);
    }
  });
});

/** dpkg and what it calls, with their libraries. */
function addDpkg(tree: string): void {
  const names = [
    "dpkg",
    "dpkg-deb",
    "dpkg-split",
    "dpkg-query",
    "tar",
    "rm",
    "ldconfig",
    "start-stop-daemon",
  ];
  const find = (name: string) =>
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
      .map((dir) => join(dir, name))
      .find((path) => existsSync(path)) ?? name;
  const copy = (file: string, place = file) => {
    mkdirSync(join(tree, dirname(place)), { recursive: true });
    copyFileSync(file, join(tree, place));
  };
  for (const file of names.map(find)) {
    copy(file, join("/usr/bin", file.split("/").at(-1) as string));
    for (const [, library] of sh0("ldd", file).matchAll(/(\/\S+\.so\S*)/g)) copy(library as string);
  }
  const database = join(tree, "var/lib/dpkg");
  for (const name of ["info", "updates", "triggers"]) mkdirSync(join(database, name), { recursive: true });
  for (const name of ["status", "available"]) writeFileSync(join(database, name), "");
}

function sh0(file: string, ...args: string[]): string {
  try {
    return execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    // a static program has no libraries
    return "";
  }
}

describe("a package", () => {
  it("is installed inside, with its owners, set-user-ID programs and scripts", async () => {
    const tree = makeTree(join(host.dir, "debian"));
    addDpkg(tree);
    plantBase(host, "debian", tree);
    const before = await treeManifest(tree);
    const source = join(host.dir, "package");
    mkdirSync(join(source, "DEBIAN"), { recursive: true });
    mkdirSync(join(source, "opt/tool"), { recursive: true });
    writeFileSync(
      join(source, "DEBIAN/control"),
      "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: a <a@localhost>\nDescription: a tool\n",
    );
    writeFileSync(join(source, "DEBIAN/postinst"), "#!/bin/sh\nchown 42:43 /opt/tool/data\n", {
      mode: 0o755,
    });
    writeFileSync(join(source, "opt/tool/data"), "data\n");
    writeFileSync(join(source, "opt/tool/run"), "#!/bin/sh\n");
    chmodSync(join(source, "opt/tool/run"), 0o4755);
    chownSync(join(source, "opt/tool/data"), 33, 33);
    const packages = join(host.dir, "packages");
    mkdirSync(packages);
    await must("dpkg-deb", ["-b", source, join(packages, "tool.deb")]);
    chmodSync(packages, 0o755);
    const script =
      "dpkg -i /srv/tool.deb >/dev/null && stat -c '%u:%g %a' /opt/tool/data /opt/tool/run && dpkg-query -W";
    const options = ["--name", "d", ...MAP, "-v", `${packages}:/srv`];
    const outcome = await host.veneer("run", "debian", ...options, "--", "sh", "-c", script);
    expect(outcome).toMatchObject({ status: 0, stderr: "", stdout: "42:43 644\n0:0 4755\ntool\t1" });
    const upper = join(host.root, "instances/d/1/upper/opt/tool");
    expect(await must("stat", ["-c", "%u:%g %a", join(upper, "data"), join(upper, "run")])).toBe(
      "42:43 644\n0:0 4755",
    );
    expect(await treeManifest(tree)).toBe(before);
    await host.ok("rm", "d");
  });
});
