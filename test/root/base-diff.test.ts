import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const source = join(host.dir, "source");
const diff = (...args: string[]) => host.ok("base", "diff", ...args);
const installed = (...packages: string[]) =>
  packages
    .map((one) => one.split(" "))
    .map(
      ([name, version]) =>
        `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n\n`,
    )
    .join("");

beforeAll(async () => {
  makeTree(source);
  mkdirSync(join(source, "var/lib/dpkg"));
  writeFileSync(join(source, "var/lib/dpkg/status"), installed("bash 5.1", "libc6 2.36"));
  mkdirSync(join(source, "opt/dir"), { recursive: true });
  writeFileSync(join(source, "opt/dir/file"), "1");
  await host.ok("base", "import", "debian", source);
  writeFileSync(join(source, "var/lib/dpkg/status"), installed("bash 5.2", "libc6 2.36", "nginx 1.22"));
  writeFileSync(join(source, "etc/os-release"), "ID=other\n");
  writeFileSync(join(source, "etc/strange\nname"), "");
  rmSync(join(source, "opt"), { recursive: true });
  writeFileSync(join(source, "opt"), "a file now");
  await must("touch", [join(source, "etc/passwd")]);
  await host.ok("base", "import", "debian", source);
});
afterAll(() => host.remove());

describe("base diff", () => {
  const files = [
    "C /etc/os-release",
    "A /etc/strange\\x0aname",
    "C /opt",
    "D /opt/dir",
    "D /opt/dir/file",
    "C /var/lib/dpkg/status",
  ];
  const packages = ["added nginx 1.22", "changed bash 5.1 → 5.2"];

  it("names packages and files, times aside", async () => {
    const lines = (await diff("debian")).split("\n");
    expect(lines.slice(0, 3)).toEqual([...packages, ""]);
    expect(lines.slice(3).filter((line) => !/^C \/(etc|var\/lib)?$/.test(line))).toEqual(files);
    expect(await diff("debian@1")).toBe(lines.join("\n"));
    expect(await diff("debian@1", "debian@2", "--packages")).toBe(packages.join("\n"));
  });

  it("leaves out the store in a directory in place", async () => {
    await host.ok("base", "import", "around", source);
    await host.ok("base", "import", "around", host.dir, "--in-place", "--force");
    const lines = (await diff("around", "--files")).split("\n").map((line) => line.split("/", 2).join("/"));
    expect(lines).toContain("A /source");
    for (const path of [host.root, host.run]) expect(lines).not.toContain(`A /${basename(path)}`);
    await host.ok("base", "rm", "around");
  });

  it("says the same of a version that has one layer with all", async () => {
    const before = await diff("debian@1", "--files");
    await host.ok("base", "import", "debian", source, "--whole", "--always");
    expect(await diff("debian@1", "debian@3", "--files")).toBe(before);
    expect(await diff("debian@2", "debian@3")).toBe("");
    const back = (await diff("debian@3", "debian@1", "--files")).split("\n");
    expect(back).toContain("A /opt/dir/file");
    expect(back).toContain("D /etc/strange\\x0aname");
  });

  it("has JSON, and refuses a base with one version", async () => {
    const { from, to, packages, files } = JSON.parse(await diff("debian@1", "--json"));
    expect({ from, to }).toEqual({ from: "debian@1", to: "debian@3" });
    expect(packages.changed).toEqual([{ name: "bash", from: "5.1", to: "5.2" }]);
    expect(files).toContainEqual({ kind: "C", path: "/etc/os-release" });
    await host.ok("base", "new", "one", "--from", "debian");
    expect(await host.veneer("base", "diff", "one")).toMatchObject({ status: 1 });
    expect(await diff("debian@3", "one")).toBe("");
  });

  it("is counted by base log, and told by a rollout", async () => {
    expect(await host.ok("base", "log", "debian")).toMatch(/ 2 .*\+1 -0 ~1 /);
    await host.ok("create", "web", "debian@1");
    expect(await host.ok("rollout", "debian")).toContain(
      "packages of debian@3 against debian@1:\n  added nginx 1.22",
    );
  });
});

describe("base prune", () => {
  it("removes what nothing uses, keeps what it is told to, and says who uses the rest", async () => {
    const line = join(host.dir, "line");
    makeTree(line);
    for (let version = 1; version <= 6; version++) {
      writeFileSync(join(line, "etc/version"), `${version}`);
      await host.ok("base", "import", "line", line);
    }
    await host.ok("base", "use", "line@5");
    await host.ok("create", "old", "line@2");
    const versions = async () =>
      JSON.parse(await host.ok("base", "log", "line", "--json")).map(
        ({ version }: { version: number }) => version,
      );
    expect(await host.ok("base", "prune", "line", "--older-than", "1h")).toBe("");
    expect(await host.ok("base", "prune", "line", "--keep", "1", "--dry-run")).toMatch(
      /line@1 +to be removed\nline@2 +used by instance old\nline@3 +to be removed/,
    );
    expect(await versions()).toEqual([6, 5, 4, 3, 2, 1]);
    expect(JSON.parse(await host.ok("base", "prune", "line", "--keep", "1", "--json"))).toEqual([
      { base: "line", version: 1 },
      { base: "line", version: 2, kept: "used by instance old" },
      { base: "line", version: 3 },
    ]);
    expect(await versions()).toEqual([6, 5, 4, 2]);
    expect((await host.veneer("base", "prune", "line", "--older-than", "soon")).status).toBe(2);
    expect((await host.veneer("base", "prune", "nosuch")).status).toBe(1);
  });

  it("is joined by a base rm of several", async () => {
    await host.ok("base", "rm", "line@4", "line@6");
    await host.ok("rm", "old");
    expect((await host.veneer("base", "rm", "line", "nosuch")).stderr).toContain("nosuch");
    expect((await host.veneer("base", "show", "line")).status).toBe(1);
  });
});
