/** Archives, directories and images made to take their reader's time, memory or devices. */
import { mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeHost, must, type Outcome, sh } from "../helpers/host.ts";
import { tarOf } from "../helpers/image.ts";

const host = makeHost("/srv");
afterAll(() => host.remove());

/** Seconds: what would take hours is not waited for. */
const PATIENCE = "60";

function veneer(...args: string[]): Promise<Outcome> {
  return sh("timeout", ["-s", "KILL", PATIENCE, join(host.bin, "veneer"), ...args]);
}

function archive(name: string, entries: Parameters<typeof tarOf>[0]): string {
  const path = join(host.dir, name);
  writeFileSync(path, tarOf(entries));
  return path;
}

/** A directory with the beginning of a root. */
function tree(): string {
  const dir = mkdtempSync(join(host.dir, "tree-"));
  mkdirSync(join(dir, "bin"));
  mkdirSync(join(dir, "etc"));
  writeFileSync(join(dir, "bin/sh"), "");
  return dir;
}

/** The tree of the only layer of a version. */
async function layerOf(name: string): Promise<string> {
  return JSON.parse(await host.ok("base", "show", name, "--json")).layers[0].path;
}

describe("hard links to what comes later in an archive", () => {
  it("take time linear in their number, each leading to the next", async () => {
    const count = 20_000;
    const links = Array.from({ length: count }, (_, k) => ({
      name: `d/${k}`,
      type: "1",
      link: `d/${k + 1}`,
    }));
    const file = archive("chain.tar", [...links, { name: `d/${count}`, data: "end" }]);
    expect(await veneer("base", "import", "chain", file)).toMatchObject({ status: 0, stdout: "chain@1" });
    expect(statSync(join(await layerOf("chain"), "d/0")).nlink).toBe(count + 1);
  });

  it("through a directory that is a link to a link", async () => {
    const file = archive("through.tar", [
      { name: "x", type: "1", link: "a/f" },
      { name: "a", type: "1", link: "s" },
      { name: "s", type: "2", link: "d" },
      { name: "d/f", data: "f" },
    ]);
    await veneer("base", "import", "through", file);
    expect(statSync(join(await layerOf("through"), "x")).nlink).toBe(2);
  });

  it("in a circle are refused", async () => {
    const circle = [{ name: "ok" }, { name: "a", type: "1", link: "b" }, { name: "b", type: "1", link: "a" }];
    const refused = await veneer("base", "import", "circle", archive("circle.tar", circle));
    expect(refused.stderr).toMatch(/'a' is a hard link to 'b', which is nowhere \[BAD_IMAGE\]$/);
  });
});

describe("a file that is all hole", () => {
  it("is compared without being read: 8 TiB take no time", async () => {
    const dir = tree();
    await must("truncate", ["-s", "8T", join(dir, "giant")]);
    await host.ok("base", "import", "giant", dir);
    // the same file in the next version, and one that differs behind a hole
    writeFileSync(join(dir, "etc/more"), "more");
    expect(await veneer("base", "import", "giant", dir)).toMatchObject({ status: 0, stdout: "giant@2" });
    expect(readdirSync(await layerOf("giant"))).toEqual(["etc"]);
    await must("dd", [
      "if=/dev/zero",
      `of=${join(dir, "giant")}`,
      "bs=1",
      "seek=7T",
      "count=1",
      "conv=notrunc",
    ]);
    // a zero that is written is what the hole showed: nothing but times differs
    expect(await veneer("base", "import", "giant", dir)).toMatchObject({ status: 0, stdout: "giant@2" });
    await must("sh", ["-c", `printf x | dd of='${dir}/giant' bs=1 seek=7T conv=notrunc`]);
    expect(await veneer("base", "import", "giant", dir)).toMatchObject({ status: 0, stdout: "giant@3" });
    expect((await host.ok("base", "diff", "giant@2", "giant@3")).split("\n")).toContain("C /giant");
  });
});

describe("devices and FIFOs where files are expected", () => {
  // a device of a number that nobody has: whoever opens it is told so
  it.each(["c 4000 7", "b 4000 7", "p"])("are not opened on the host: %s", async (kind) => {
    const dir = tree();
    const name = `node-${kind[0]}`;
    for (const file of ["etc/passwd", "etc/group"])
      await must("mknod", [join(dir, file), ...kind.split(" ")]);
    mkdirSync(join(dir, "var/lib/dpkg"), { recursive: true });
    await must("mknod", [join(dir, "var/lib/dpkg/status"), ...kind.split(" ")]);
    await host.ok("base", "import", name, dir);
    expect(await veneer("bundle", name, join(host.dir, `bundle-${name}`), "--", "sh")).toMatchObject({
      status: 0,
      stderr: "",
    });
    writeFileSync(join(dir, "etc/more"), "");
    await host.ok("base", "import", name, dir);
    expect(await veneer("base", "diff", `${name}@1`, `${name}@2`)).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("a database of packages that is a program", () => {
  const make = async (sql: string): Promise<string> => {
    const dir = tree();
    mkdirSync(join(dir, "var/lib/rpm"), { recursive: true });
    const script =
      "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()";
    await must("python3", ["-c", script, join(dir, "var/lib/rpm/rpmdb.sqlite"), sql]);
    return dir;
  };

  it("is read where it is as rpm makes it", async () => {
    const dir = await make(
      "CREATE TABLE IF NOT EXISTS 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)",
    );
    await host.ok("base", "import", "plain", dir);
    writeFileSync(join(dir, "etc/more"), "");
    await host.ok("base", "import", "plain", dir);
    expect(await veneer("base", "diff", "plain@1", "plain@2")).toMatchObject({ status: 0, stderr: "" });
  });

  it.each([
    [
      "a view without end",
      "CREATE VIEW Packages AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT zeroblob(9999) AS blob FROM c",
    ],
    [
      "a column that is computed",
      "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB AS (zeroblob(900000000))); INSERT INTO Packages(hnum) VALUES (1),(2),(3)",
    ],
  ])("%s is not run", async (what, sql) => {
    const name = what.replaceAll(" ", "-");
    const dir = await make(sql);
    await host.ok("base", "import", name, dir);
    writeFileSync(join(dir, "etc/more"), "");
    await host.ok("base", "import", name, dir);
    expect(await veneer("base", "log", name)).toMatchObject({ status: 0 });
    const refused = await veneer("base", "diff", `${name}@1`, `${name}@2`);
    expect(refused).toMatchObject({ status: 1 });
    expect(refused.stderr).toMatch(/not one that rpm makes \[RPM_DATABASE\]$/);
  });
});

describe("what exceeds a limit is refused at once", () => {
  it("a header of an archive that is larger than any name", async () => {
    const file = archive("header.tar", [
      { name: "first" },
      { name: "pax", type: "x", data: "x".repeat(2 ** 21) },
    ]);
    expect((await veneer("base", "import", "header", file)).stderr).toMatch(/limit 1048576.* \[BAD_TAR\]$/);
  });

  it("a tree with more directories in one another than can be open", async () => {
    const dir = tree();
    const script = "import os,sys\nos.chdir(sys.argv[1])\nfor i in range(3000): os.mkdir('d'); os.chdir('d')";
    await must("python3", ["-c", script, dir]);
    expect((await veneer("base", "import", "deep", dir)).stderr).toMatch(
      /more than 2000 directories deep \[TOO_DEEP\]$/,
    );
    // node:fs removes by path, which is too long
    await must("rm", ["-rf", dir]);
  });
});
