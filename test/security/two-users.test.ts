/** Two users without root on one host, each with containers: neither reaches what is the other's, or root's. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { makeUser, type User } from "../helpers/user.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const alice = makeUser(host, { uid: 47122, subordinate: 700_000 });
const bob = makeUser(host, { uid: 47123, subordinate: 800_000 });
const SECRET = "SECRET";
/** Names of Alice's container and instance; Bob has a namesake of the latter. */
let container = "";
const LOOP = `echo ${SECRET} >/secret; chmod 600 /secret; echo ready; while :; do sleep 0.1; done`;

async function start(user: User, mark: string): Promise<string> {
  const words = ["-d", "--name", "web", "--", "sh", "-c", LOOP.replace(SECRET, mark)];
  const id = await user.ok("run", "deb", ...words);
  await waitFor(async () => (await user.veneer("logs", id)).stdout === "ready");
  return id;
}

beforeAll(async () => {
  const archive = join(host.dir, "tree.tar");
  await must("tar", ["-C", makeTree(join(host.dir, "tree")), "-cf", archive, "."]);
  for (const user of [alice, bob]) {
    await user.ok("base", "import", "deb", archive);
    await user.ok("base", "edit", "deb", "--", "touch", "/etc/newer");
    await user.ok("base", "use", "deb@1");
  }
  await host.ok("base", "import", "system", archive);
  await host.ok("create", "of-root", "system");
  mkdirSync(host.run, { recursive: true, mode: 0o700 });
  container = await start(alice, SECRET);
  await start(bob, "of Bob");
  // one that only Alice has
  await alice.ok("create", "only", "deb");
});
afterAll(async () => {
  for (const user of [alice, bob]) {
    await user.veneer("stop", "web", "--time", "0");
    user.end();
  }
  await host.remove();
});

/** All that Alice has: names, kinds, owners, modes and contents of the records and instances. */
async function stateOf(user: User): Promise<string> {
  const script = `cd "$1" && find . -printf '%p %y %U:%G %m %T@\\n' | sort; cd "$2" && find . -printf '%p %y %U:%G %m\\n' | sort
    cat records/*.json`;
  return must("sh", [
    "-c",
    script,
    "sh",
    join(user.store, "instances"),
    join(host.dir, user.name, "runtime/veneer"),
  ]);
}

describe("a user", () => {
  it("does not know the containers and instances of another, by any name", async () => {
    const before = await stateOf(alice);
    const pid = JSON.parse(await alice.ok("ps", "--json"))[0].pid as number;
    for (const words of [["ps"], ["ps", "--stale"], ["ls"], ["df"], ["gc"]]) {
      const { status, stdout, stderr } = await bob.veneer(...words);
      expect([words, status, stderr]).toEqual([words, 0, ""]);
      expect(stdout).not.toContain("only");
    }
    expect(JSON.parse(await bob.ok("ps", "--json"))).toMatchObject([{ instance: "web" }]);
    // Bob has neither
    for (const name of ["only", String(pid)]) {
      for (const verb of [
        ["rebase", name, "deb@2"],
        ["fallback", name],
        ["exec", name, "--", "cat", "/secret"],
        ["stop", name, "--time", "0"],
        ["logs", name],
        ["inspect", name],
        ["diff", name],
        ["clone", name, "mine"],
        ["commit", name, "mine"],
        ["rm", name],
      ]) {
        const refused = await bob.veneer(...verb);
        expect([verb, refused.status === 0]).toEqual([verb, false]);
        expect([verb, refused.stderr]).toEqual([
          verb,
          expect.stringMatching(/^veneer: [^\n]*\[[A-Z0-9_]+\]$/m),
        ]);
      }
    }
    expect(await stateOf(alice)).toBe(before);
  });

  it("moves, enters and stops its own container where another's has the same name", async () => {
    await bob.ok("rebase", "web", "deb@2");
    expect(JSON.parse(await bob.ok("ps", "--json"))).toMatchObject([{ instance: "web", version: 2 }]);
    expect(JSON.parse(await alice.ok("ps", "--json"))).toMatchObject([{ instance: "web", version: 1 }]);
    expect(await bob.ok("exec", "web", "--", "cat", "/secret")).toBe("of Bob");
    await bob.ok("stop", "web", "--time", "0");
    await bob.ok("rm", "web");
    await bob.ok("gc");
    expect(await alice.ok("exec", "web", "--", "cat", "/secret")).toBe(SECRET);
    expect(JSON.parse(await alice.ok("ps", "--json"))).toMatchObject([{ container, instance: "web" }]);
  });

  it("reads and writes neither store, run directory nor root of another's container", async () => {
    const pid = JSON.parse(await alice.ok("ps", "--json"))[0].pid as number;
    const runtime = join(host.dir, alice.name, "runtime");
    const places = [alice.home, alice.store, runtime, join(runtime, "veneer/records"), host.root, host.run];
    for (const place of [...places, `/proc/${pid}/root/`, `/proc/${pid}/cwd/`]) {
      const seen = await bob.sh("ls", [place]);
      expect([place, seen.status === 0, seen.stderr]).toEqual([
        place,
        false,
        expect.stringMatching(/Permission denied/),
      ]);
      expect((await bob.sh("touch", [join(place, "mine")])).status).not.toBe(0);
    }
    // nor as root of a user namespace of its own, with all ids that Bob has
    const inside = `for p in ${alice.store} ${host.root} /proc/${pid}/root/; do ls $p && echo SEEN; done; kill -9 ${pid} && echo ENDED`;
    const outcome = await bob.sh("veneer", ["unshare", "--", "sh", "-c", inside]);
    expect(outcome.stdout).not.toMatch(/SEEN|ENDED/);
    expect(await alice.ok("exec", "web", "--", "cat", "/secret")).toBe(SECRET);
  });

  it.each(["another user's", "root's"])(
    "is refused %s store and records, however they are named",
    async (whose) => {
      const root = whose === "root's" ? host.root : alice.store;
      const run = whose === "root's" ? host.run : join(host.dir, alice.name, "runtime/veneer");
      const name = whose === "root's" ? "of-root" : "web";
      const before = await stateOf(alice);
      const mine = join(bob.home, "run");
      for (const [store, records] of [
        [root, mine],
        [bob.store, run],
      ] as const) {
        for (const words of [
          ["ps"],
          ["gc"],
          ["inspect", name],
          ["rebase", name, "deb@2"],
          ["stop", name, "--time", "0"],
          ["exec", name, "--", "cat", "/secret"],
          ["rm", name],
          ["run", "deb", "--name", name, "--", "cat", "/secret"],
        ]) {
          const call = ["--root", store, "--run", records, ...words];
          const refused = await bob.veneer(...call);
          expect([call, refused.status === 0, refused.stdout]).toEqual([call, false, ""]);
        }
      }
      expect(await stateOf(alice)).toBe(before);
      expect(await alice.ok("exec", "web", "--", "cat", "/secret")).toBe(SECRET);
      expect(await host.ok("ls")).toContain("of-root");
    },
  );

  it("is not led to another's store by links of its own", async () => {
    const before = await stateOf(alice);
    const link = join(bob.home, "link");
    await bob.sh("ln", ["-s", alice.store, link]);
    for (const words of [["ls"], ["gc"], ["rm", "web"]]) {
      expect((await bob.veneer("--root", link, ...words)).status).not.toBe(0);
    }
    expect(await stateOf(alice)).toBe(before);
  });
});

it("a forged record leads to nothing of another user's, nor of root's", async () => {
  // Alice makes a record of hers name Bob's upper and a process of root's
  const records = join(host.dir, alice.name, "runtime/veneer/records");
  const name = readdirSync(records).find((one) => one.endsWith(".json")) as string;
  const record = JSON.parse(readFileSync(join(records, name), "utf8"));
  await bob.ok("create", "kept", "deb");
  const stat = readFileSync("/proc/self/stat", "utf8").replace(/.*\) /, "");
  const startTime = Number(stat.split(" ")[19]);
  const forged = {
    ...record,
    process: { pid: process.pid, startTime },
    upper: join(bob.store, "instances/kept/1/upper"),
    instance: "kept",
  };
  const file = join(alice.runtime, "veneer/records", name);
  const write = (text: string) => alice.sh("sh", ["-c", `cat >${file}`], { input: text });
  await write(`${JSON.stringify(forged)}\n`);
  for (const words of [
    ["rebase", "kept", "deb@2"],
    ["stop", "kept", "--time", "0"],
    ["exec", "kept", "--", "true"],
  ]) {
    expect((await alice.veneer(...words)).status).not.toBe(0);
  }
  await alice.veneer("gc");
  await write(`${JSON.stringify(record)}\n`);
  expect(existsSync(join(bob.store, "instances/kept/instance.json"))).toBe(true);
  expect(await alice.ok("exec", "web", "--", "cat", "/secret")).toBe(SECRET);
});
