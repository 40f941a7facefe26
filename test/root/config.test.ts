import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeBundle, nextId } from "../helpers/bundle.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const file = join(host.dir, "config.json");
const id = nextId();
const configure = (text: string) => writeFileSync(file, text);

beforeAll(async () => {
  await host.ok("base", "import", "host", makeTree(join(host.dir, "tree")), "--in-place");
});
afterAll(() => host.remove());

/** Runs a container with the wrapping runtime and this configuration file to its end. */
function start(annotations: Record<string, string>) {
  const bundle = makeBundle(join(host.dir, "bundle"), "echo ready", (config) => {
    Object.assign(config.annotations, annotations);
  });
  const state = ["--root", join(host.dir, "state")];
  const words = ["--config", file, "runtime", "--real", "runc", "--", ...state, "run", "--bundle", bundle];
  return sh(join(host.bin, "veneer"), [...words, id], { env: { PATH: host.path } });
}

describe("the configuration file", () => {
  it("is printed with where each value comes from", async () => {
    configure('{"opaque": ["/tmp"], "runtimes": {"runc": "/opt/runc"}}');
    const rows = JSON.parse(await host.ok("--config", file, "config", "--json"));
    const row = (key: string) => rows.find((each: { key: string }) => each.key === key);
    expect(row("opaque")).toMatchObject({ value: ["/tmp"], from: file });
    expect(row("mask")).toMatchObject({ value: [], from: "default" });
    expect(row("root")).toMatchObject({ value: host.root, from: "--root" });
    expect(row("log").description).toMatch(/File to which/);
  });

  it("names the nearest known key for one that it does not know", async () => {
    configure('{"opaqe": []}');
    const outcome = await host.veneer("--config", file, "config");
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toBe(
      `veneer: ${file}: unknown key 'opaqe'; hint: did you mean opaque? [UNKNOWN_KEY]`,
    );
  });

  it("that is named and missing is an error, with status 2", async () => {
    const outcome = await host.veneer("--config", join(host.dir, "none.json"), "config");
    expect(outcome).toMatchObject({ status: 2 });
    expect(outcome.stderr).toMatch(/none\.json' does not exist/);
  });

  it("bounds what annotations may name", async () => {
    configure('{"annotations": {"bases": ["web-*"], "instances": []}}');
    const outcome = await start({ "run.veneer.base": "host" });
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/annotation run\.veneer\.base may not name 'host'.*hint:/);
    configure('{"annotations": {"bases": ["h*"], "instances": ["mine-?"]}}');
    expect(await start({ "run.veneer.base": "host" })).toMatchObject({ status: 0, stdout: "ready" });
    const other = await start({ "run.veneer.base": "host", "run.veneer.instance": "theirs" });
    expect(other.stderr).toMatch(/annotation run\.veneer\.instance may not name 'theirs'/);
  });

  it("has starts, ends and failures appended to a log", async () => {
    const log = join(host.dir, "log");
    configure(JSON.stringify({ log, logFormat: "json" }));
    await start({ "run.veneer.base": "host" });
    await start({ "run.veneer.base": "absent" });
    const lines = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { event: "start", engine: "runtime", container: id, base: "host@1" },
      { event: "stop", engine: "runtime", container: id },
      {
        event: "error",
        engine: "runtime",
        container: id,
        message: expect.stringMatching(/no base absent/),
      },
    ]);
  });
});

describe("a mistyped command", () => {
  it("is answered with the nearest one", async () => {
    const outcome = await host.veneer("bse", "ls");
    expect(outcome).toMatchObject({
      status: 2,
      stderr: "veneer: unknown command 'bse'; hint: did you mean 'veneer base ls'?",
    });
  });

  it("that is only the first word of some is answered with what may follow", async () => {
    const bare = await host.veneer("base");
    expect(bare).toMatchObject({ status: 2, stdout: "" });
    expect(bare.stderr).toMatch(/^Usage: veneer base VERB\n\n {2}base import {2}.*\n {2}base ls /);
    expect(bare.stderr).not.toContain("rebase");
    for (const words of [
      ["base", "--help"],
      ["base", "-h"],
      ["help", "base"],
    ]) {
      expect(await host.veneer(...words)).toEqual({ status: 0, stdout: bare.stderr, stderr: "" });
    }
    expect(await host.veneer("base", "nonsense")).toMatchObject({
      status: 2,
      stderr: "veneer: unknown command 'base nonsense'; hint: 'veneer base --help' lists the commands",
    });
  });
});

describe("help", () => {
  it("is there for every command, by --help, -h and help", async () => {
    const text = await host.ok("--help");
    // who sets VENEER_ROOT is told who heeds it
    expect(text).toContain("veneer-runc and veneer-crun read no VENEER_… variable");
    const names = [...text.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}[A-Z]/gm)].map(
      (match) => match[1] as string,
    );
    expect(names.length).toBeGreaterThan(30);
    for (const name of names) {
      const words = name.split(" ");
      const long = await host.ok(...words, "--help");
      expect(long).toMatch(new RegExp(`^Usage: veneer ${name}\\b`));
      expect(await host.ok("help", ...words)).toBe(long);
      expect(await host.ok(...words, "-h")).toBe(long);
    }
  });
});
