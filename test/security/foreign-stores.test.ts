/** Root is led to a store or to records that another user can write: by a variable that sudo keeps, or by --root and --run. */
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, PROGRAM, sh } from "../helpers/host.ts";
import { plantVersions } from "../helpers/live.ts";

const host = makeHost("/srv");
const UID = 47996;
/** what a killed rebase would leave: whoever recovers from it moves files from one directory to another */
const kept = join(host.dir, "of-root");
const taken = join(host.dir, "part");

function plantIntent(run: string): void {
  mkdirSync(join(run, "moving"), { recursive: true });
  const record = {
    key: "web~0123456789abcdef",
    engine: "runtime",
    base: "b",
    version: 1,
    placement: "private",
    preparer: { pid: 1, startTime: 1 },
    created: "2026-01-01T00:00:00.000Z",
  };
  const group = join(host.dir, "group");
  const intent = {
    key: record.key,
    record,
    halt: { freezer: { kind: "v2", path: group }, stopped: [], frozenBefore: false },
    init: { pid: 1, startTime: 1 },
    root: 1,
    shared: false,
    part: taken,
    made: false,
    from: kept,
  };
  mkdirSync(group, { recursive: true });
  writeFileSync(join(group, "cgroup.freeze"), "1");
  writeFileSync(join(run, "moving", `${record.key}.json`), JSON.stringify(intent));
}

const VERBS = [
  ["ps"],
  ["ls"],
  ["gc"],
  ["df"],
  ["tree"],
  ["inspect", "web"],
  ["rm", "web"],
  ["rebase", "web", "b@2"],
  ["base", "ls"],
  ["run", "b", "--", "true"],
] as const;

beforeAll(() => {
  plantVersions(host);
  mkdirSync(kept);
  mkdirSync(join(taken, "upper"), { recursive: true });
});
afterAll(() => host.remove());

describe.each([
  ["a store of another user", "root", 0o700, UID],
  ["records of another user", "run", 0o700, UID],
  ["records that everybody can write", "run", 0o777, 0],
  ["records in a directory like /tmp", "run", 0o1777, 0],
  ["a store that everybody can write", "root", 0o777, 0],
] as const)("%s", (what, which, mode, owner) => {
  const place = join(host.dir, what.replaceAll(/[^a-z]/g, "-"));
  const places = { root: host.root, run: host.run, [which]: place };

  beforeAll(async () => {
    mkdirSync(place);
    if (which === "run") plantIntent(place);
    else await must("cp", ["-a", `${host.root}/.`, place]);
    await must("chown", ["-R", `${owner}:${owner}`, place]);
    chmodSync(place, mode);
    chownSync(place, owner, owner);
  });

  it.each([
    ["options", (words: readonly string[]) => [["--root", places.root, "--run", places.run, ...words], {}]],
    [
      "variables",
      (words: readonly string[]) => [words, { VENEER_ROOT: places.root, VENEER_RUN: places.run }],
    ],
  ] as const)("is refused, and nothing of it is read: by %s", async (_, call) => {
    for (const verb of VERBS) {
      const [words, env] = call(verb) as [string[], Record<string, string>];
      const outcome = await sh(PROGRAM, words, { env: { PATH: host.path, ...env } });
      expect([verb, outcome.status, outcome.stdout]).toEqual([verb, 1, ""]);
      expect([verb, outcome.stderr]).toEqual([verb, expect.stringMatching(/ \[NOT_YOURS\]$/)]);
    }
    expect(existsSync(join(place, "moving"))).toBe(which === "run");
    const frozen = which === "run" ? await must("cat", [join(host.dir, "group/cgroup.freeze")]) : "1";
    expect(frozen).toBe("1");
  });
});

it("a user's own store in a directory that root made serves the user", async () => {
  const home = join(host.dir, "home");
  mkdirSync(home);
  chmodSync(host.dir, 0o755);
  for (const name of ["store", "run"]) {
    mkdirSync(join(home, name), { mode: 0o700 });
    chownSync(join(home, name), UID, UID);
  }
  const words = ["--reuid", String(UID), "--regid", String(UID), "--clear-groups", "--", PROGRAM];
  const own = ["--root", join(home, "store"), "--run", join(home, "run")];
  expect(await sh("setpriv", [...words, ...own, "ls"], { env: { HOME: home } })).toMatchObject({
    status: 0,
    stderr: "",
  });
});
