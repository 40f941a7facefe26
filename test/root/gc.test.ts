import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";

const host = makeHost();
const outside = join(host.dir, "outside");
const at = (...parts: string[]) => join(host.root, ...parts);
const gc = async (...args: string[]) => JSON.parse(await host.ok("gc", "--json", ...args));

beforeAll(async () => {
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "x");
  await host.ok("base", "import", "debian", outside);
  mkdirSync(join(host.run, "records"), { recursive: true });
  mkdirSync(join(host.run, "configs"));
  mkdirSync(join(host.run, "held"));
});
afterAll(() => host.remove());

/** A directory with a file, and symbolic links out of the store. */
function fill(dir: string): string {
  mkdirSync(join(dir, "upper/deep"), { recursive: true });
  writeFileSync(join(dir, "upper/deep/file"), "x".repeat(100_000));
  symlinkSync(outside, join(dir, "upper/link"));
  return dir;
}

function writeRecord(key: string, fields: object) {
  const record = {
    key,
    engine: "oci",
    base: "debian",
    version: 1,
    placement: "container",
    preparer: { pid: 1, startTime: 1 },
    created: "2020-01-01T00:00:00.000Z",
    ...fields,
  };
  writeFileSync(join(host.run, "records", `${key}.json`), JSON.stringify(record));
}

describe("gc", () => {
  it("frees nothing of a store in order", async () => {
    expect(await host.ok("gc")).toBe("freed nothing");
    expect(await gc()).toEqual({ dryRun: false, bytes: 0, freed: [], problems: [] });
    expect(await host.ok("base", "ls", "--json")).toContain("debian");
  });

  it("makes no store where there is none, as for a mistyped --root", async () => {
    const nowhere = join(host.dir, "mistyped");
    const outcome = await host.veneer("--root", nowhere, "gc");
    const stderr = `veneer: gc: no store at ${nowhere}`;
    expect(outcome).toMatchObject({ status: 0, stdout: "freed nothing", stderr });
    expect(existsSync(nowhere)).toBe(false);
  });

  it("tells what it would free, then frees that, and nothing outside", async () => {
    fill(at("ephemeral/a1"));
    writeRecord("dead", { ephemeral: "a1", upper: at("ephemeral/a1/upper") });
    fill(at("ephemeral/b2"));
    fill(at("staging/c3"));
    fill(at("trash/d4"));
    symlinkSync(outside, at("trash/e5"));
    mkdirSync(at("layers/f6/tree"), { recursive: true });
    writeFileSync(join(host.run, "records/gone.json"), "");
    writeFileSync(join(host.run, "configs/gone.json"), "{}");
    writeFileSync(join(host.run, "configs/left.json"), "{}");
    writeFileSync(at("bases/debian/versions/2.json"), "{}");
    const left = at("bases/debian/base.json.0123456789ab");
    writeFileSync(left, "{");
    utimesSync(left, 1e9, 1e9);
    const would = await gc("--dry-run");
    const kinds = (result: { freed: { kind: string }[] }) => result.freed.map(({ kind }) => kind).sort();
    expect(kinds(would)).toEqual([
      "ephemeral upper",
      "file",
      "layer",
      "manifest",
      "record",
      "record",
      "record",
      "staging",
      "trash",
      "trash",
    ]);
    expect(would.bytes).toBeGreaterThan(400_000);
    expect(existsSync(at("ephemeral/a1"))).toBe(true);
    const did = await gc();
    expect(kinds(did)).toEqual(kinds(would));
    expect(did.bytes).toBe(would.bytes);
    for (const kind of ["ephemeral", "staging", "trash"]) expect(readdirSync(at(kind))).toEqual([]);
    expect(readdirSync(at("layers"))).toHaveLength(1);
    expect(readdirSync(at("bases/debian")).sort()).toEqual(["base.json", "versions"]);
    expect(readdirSync(at("bases/debian/versions"))).toEqual(["1.json"]);
    expect(readdirSync(join(host.run, "records"))).toEqual([]);
    expect(readdirSync(join(host.run, "configs"))).toEqual([]);
    expect(readdirSync(outside)).toEqual(["precious"]);
    expect(await host.ok("gc")).toBe("freed nothing");
  });

  it("never follows what is mounted in the trash", async () => {
    mkdirSync(at("trash/m/mnt"), { recursive: true });
    await must("mount", ["--bind", outside, at("trash/m/mnt")]);
    const refused = await host.veneer("gc");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/trash\/m\/mnt' is mounted inside.*hint: umount/);
    await must("umount", [at("trash/m/mnt")]);
    expect(readdirSync(outside)).toEqual(["precious"]);
    await host.ok("gc", "--trash");
    expect(readdirSync(at("trash"))).toEqual([]);
  });

  it("leaves a live process's record, a mounted upper without a record, and a held staging directory", async () => {
    const start =
      (await must("cat", ["/proc/self/stat"])) && (await must("sh", ["-c", "cat /proc/$PPID/stat"]));
    const fields = start.slice(start.lastIndexOf(")") + 2).split(" ");
    fill(at("ephemeral/live"));
    writeRecord("live", {
      ephemeral: "live",
      preparer: { pid: process.pid, startTime: Number(fields[19]) },
    });
    fill(at("ephemeral/mounted"));
    mkdirSync(at("ephemeral/mounted/work"));
    const merged = join(host.dir, "merged");
    mkdirSync(merged);
    const options = `lowerdir=${outside},upperdir=${at("ephemeral/mounted/upper")},workdir=${at("ephemeral/mounted/work")}`;
    await must("mount", ["-t", "overlay", "-o", options, "x", merged]);
    mkdirSync(at("staging/held"));
    const holder = spawn("flock", [at("staging/held"), "sh", "-c", "echo held; sleep 30"], {
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
    });
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    try {
      expect((await gc()).freed).toEqual([]);
    } finally {
      process.kill(-(holder.pid as number), "SIGKILL");
      await must("umount", [merged]);
    }
    await must("rm", [join(host.run, "records/live.json")]);
    expect((await gc()).freed.map(({ kind }: { kind: string }) => kind).sort()).toEqual([
      "ephemeral upper",
      "ephemeral upper",
      "staging",
    ]);
  });

  it("keeps all layers while a manifest cannot be read, and says which", async () => {
    mkdirSync(at("layers/x9"), { recursive: true });
    await must("cp", [at("bases/debian/versions/1.json"), join(host.dir, "kept.json")]);
    writeFileSync(at("bases/debian/versions/1.json"), "{");
    const refused = await host.veneer("gc");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/debian\/versions\/1.json is not JSON/);
    expect(existsSync(at("layers/x9"))).toBe(true);
    await must("cp", [join(host.dir, "kept.json"), at("bases/debian/versions/1.json")]);
    expect(await host.ok("gc")).toMatch(/^freed 1 layer/);
  });

  it("leaves layers alone while an import is between a layer and its manifest", async () => {
    mkdirSync(at("layers/x9"), { recursive: true });
    const holder = spawn("flock", ["--shared", at("layers"), "sh", "-c", "echo held; sleep 30"], {
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
    });
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    try {
      const outcome = await host.veneer("gc");
      expect(outcome).toMatchObject({ status: 0, stdout: "freed nothing" });
      expect(outcome.stderr).toMatch(/layers are left/);
    } finally {
      process.kill(-(holder.pid as number), "SIGKILL");
    }
    expect(await host.ok("gc")).toMatch(/^freed 1 layer/);
  });
});

describe("a damaged record", () => {
  it("hides no other from ps, and is left alone by gc, which names it and says what to do", async () => {
    await host.ok("create", "web1", "debian");
    await host.ok("mount", "web1");
    const path = join(host.run, "records/damaged.json");
    writeFileSync(path, '{"key":');
    const ps = await host.veneer("ps", "--json");
    expect(JSON.parse(ps.stdout)).toMatchObject([{ instance: "web1" }]);
    const line = /^veneer: (gc: )?\S+damaged\.json is not JSON .*; hint: remove that file when the container/;
    expect(ps.stderr).toMatch(line);
    const collected = await host.veneer("gc");
    expect(collected).toMatchObject({
      status: 1,
      stdout: "freed nothing",
      stderr: expect.stringMatching(line),
    });
    expect(existsSync(path)).toBe(true);
    await host.ok("umount", "web1");
    await host.ok("rm", "web1");
    rmSync(path);
  });
});
