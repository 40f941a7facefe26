import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { killAt, momentsOf, recordTo } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const tree = (version: number) => join(host.dir, `tree ${version}`);
const stateFile = join(host.root, "bases/debian/rollout/state.json");
const log = join(host.dir, "log");
const ids = ["web1", "web2", "web3", "web4"];

beforeAll(() => {
  for (const version of [1, 2, 3]) {
    makeTree(tree(version));
    writeFileSync(join(tree(version), "etc/version"), `${version}\n`);
    writeFileSync(join(tree(version), "etc/both"), `${version}\n`);
    plantBase(host, "debian", tree(version), version);
  }
});
beforeEach(async () => {
  await host.ok("base", "use", "debian@2");
  for (const id of ids) await host.ok("create", id, "debian@1");
});
afterEach(async () => {
  rmSync(log, { force: true });
  rmSync(join(host.root, "bases/debian/rollout"), { recursive: true, force: true });
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) {
    await host.veneer("umount", id);
    await host.ok("rm", id);
  }
});
afterAll(() => host.remove());

interface Member {
  id: string;
  state: string;
  message?: string;
}

async function rollout(...words: string[]) {
  const { status, stdout, stderr } = await host.veneer("rollout", "debian", "--json", ...words);
  const { outcome, members } = JSON.parse(stdout) as { outcome: string; members: Member[] };
  return { status, stderr, outcome, states: members.map(({ id, state }) => `${id} ${state}`), members };
}
const versions = async () =>
  JSON.parse(await host.ok("ls", "--json"))
    .map(({ version }: { version: number }) => version)
    .join("");
const lines = () => (existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : []);
const mountAll = async () => {
  for (const id of ids) await host.ok("mount", id);
};
/** A check that notes what it is asked, and fails for one instance. */
const check = (failing = "none") => [
  "--check",
  `echo "$VENEER_INSTANCE" >> ${log}; [ "$VENEER_INSTANCE" != ${failing} ]`,
];

describe("rollout", () => {
  it("moves all, prints a table and what is hidden, and has nothing to do afterwards", async () => {
    const root = await host.ok("mount", "web2");
    writeFileSync(join(root, "etc/both"), "mine");
    await host.ok("create", "new", "debian@2");
    const { stdout, stderr, status } = await host.veneer("rollout", "debian");
    expect(status).toBe(0);
    expect(stdout.replaceAll(/ +/g, " ")).toMatch(
      /^INSTANCE FROM TO STATE .*\nweb2 debian@1 debian@2 moved .*1.*\nweb1 debian@1 debian@2 moved .*0\n(?:.*\n)*\nweb2 hides of debian@2:\n CC \/etc\/both$/,
    );
    expect(stderr).toBe("veneer: 4 moved onto debian@2");
    expect(await versions()).toBe("22222");
    expect(readFileSync(join(root, "etc/version"), "utf8")).toBe("2\n");
    expect(existsSync(stateFile)).toBe(false);
    const again = await host.veneer("rollout", "debian");
    expect([again.status, again.stdout, again.stderr]).toEqual([
      0,
      "",
      "veneer: nothing to do: no instance of debian is on another version than debian@2",
    ]);
  });

  it("moves onto a version that is named, an older one too", async () => {
    expect(await rollout()).toMatchObject({ status: 0, outcome: "done" });
    expect((await host.veneer("rollout", "debian@3")).status).toBe(0);
    expect(await versions()).toBe("3333");
    expect((await host.veneer("rollout", "debian@1")).status).toBe(0);
    expect(await versions()).toBe("1111");
  });

  it("reports without changing anything", async () => {
    expect(await rollout("--dry-run")).toMatchObject({ status: 0, outcome: "planned" });
    expect(await versions()).toBe("1111");
    expect(existsSync(join(host.root, "bases/debian/rollout"))).toBe(false);
  });

  it("checks those that are mounted after each batch, the canary first, with what they are in the environment", async () => {
    for (const id of ["web2", "web3", "web4"]) await host.ok("mount", id);
    const command = `ls=$(veneer ls --json | grep -c '"version": 2'); echo "$VENEER_INSTANCE $VENEER_BASE $VENEER_FROM-$VENEER_VERSION $(cat "$VENEER_ROOTFS/etc/version") $VENEER_ENGINE $HOME $ls" >> ${log}`;
    const outcome = await sh(
      join(host.bin, "veneer"),
      ["rollout", "debian", "--canary", "1", "--batch", "2", "--check", command, "--json"],
      { env: { PATH: host.path, HOME: "/here" } },
    );
    expect(outcome.status).toBe(0);
    expect(lines().sort()).toEqual([
      "web2 debian 1-2 2 mount /here 1",
      "web3 debian 1-2 2 mount /here 3",
      "web4 debian 1-2 2 mount /here 3",
    ]);
    expect(JSON.parse(outcome.stdout).members).toMatchObject([
      { id: "web2", state: "checked" },
      { id: "web3", state: "checked" },
      { id: "web4", state: "checked" },
      { id: "web1", state: "moved", message: "not running: not checked" },
    ]);
  });

  it("stops at a failing check and takes all back, with what they changed meanwhile", async () => {
    await mountAll();
    const words = [
      "--check",
      `echo late > "$VENEER_ROOTFS/etc/late"; [ "$VENEER_INSTANCE" != web3 ] || { echo no luck >&2; exit 7; }`,
    ];
    const done = await rollout("--batch", "1", ...words);
    expect(done).toMatchObject({
      status: 1,
      outcome: "back",
      states: ["web1 back", "web2 back", "web3 back", "web4 planned"],
    });
    expect(done.members[2]?.message).toBe("check failed (status 7): no luck");
    expect(done.stderr).toBe("veneer: 3 moved back");
    expect(await versions()).toBe("1111");
    expect(readFileSync(join(host.run, "mnt/web1/etc/late"), "utf8")).toBe("late\n");
    expect(existsSync(stateFile)).toBe(false);
  });

  it("takes nothing back with --no-rollback; the same call checks again and goes on, --revert moves back", async () => {
    await mountAll();
    const stopped = await rollout("--batch", "2", "--no-rollback", ...check("web2"));
    expect(stopped).toMatchObject({
      status: 1,
      outcome: "stopped",
      states: ["web1 checked", "web2 refused", "web3 planned", "web4 planned"],
    });
    expect(await versions()).toBe("2211");
    const held = await host.veneer("base", "rm", "debian@1");
    expect(held.stderr).toContain("the rollout begun");
    rmSync(log);
    expect(await rollout("--batch", "2", "--no-rollback", ...check("web3"))).toMatchObject({
      outcome: "stopped",
      states: ["web1 checked", "web2 checked", "web3 refused", "web4 planned"],
    });
    expect(lines().sort()).toEqual(["web2", "web3"]);
    expect(await rollout("--revert")).toMatchObject({ status: 0, outcome: "back" });
    expect(await versions()).toBe("1111");
    expect((await host.veneer("rollout", "debian", "--revert")).stderr).toContain(
      "has no unfinished rollout; hint: ",
    );
  });

  it("gives up a check that takes too long, with all that it started", async () => {
    await host.ok("mount", "web1");
    const words = ["--check-timeout", "1", "--check", `sleep 300 & echo $! > ${log}; wait`];
    const { status, outcome, members } = await rollout(...words);
    expect([status, outcome, members[0]?.message]).toEqual([1, "back", "check did not end within 1 s"]);
    await waitFor(() => !existsSync(`/proc/${lines()[0]}`));
  });

  it("goes on after one that cannot be moved, but not past canaries of which none can", async () => {
    await mountAll();
    const inside = { cwd: join(host.run, "mnt/web1"), env: { PATH: host.path } };
    const veneer = (...words: string[]) =>
      sh(join(host.bin, "veneer"), ["rollout", "debian", ...words, "--json"], inside);
    const canary = await veneer("--canary", "1");
    expect([canary.status, JSON.parse(canary.stdout)]).toMatchObject([
      1,
      {
        outcome: "stopped",
        members: [{ state: "failed", message: expect.stringContaining("web1 is in use") }, {}, {}, {}],
      },
    ]);
    expect(await versions()).toBe("1111");
    const all = await veneer("--batch", "2");
    expect([all.status, JSON.parse(all.stdout).outcome]).toEqual([1, "incomplete"]);
    expect(await versions()).toBe("1222");
    expect(await rollout()).toMatchObject({ status: 0, outcome: "done", states: ["web1 moved"] });
  });

  it("leaves those mounted that another mount namespace has too, and says whose it is", async () => {
    await mountAll();
    writeFileSync(join(host.run, "mnt/web1/etc/own"), "mine\n");
    const keeper = spawn("unshare", ["-m", "sh", "-c", "echo ready; exec sleep 1000"]);
    await new Promise((resolve) => keeper.stdout.once("data", resolve));
    const refused = await rollout();
    expect(refused).toMatchObject({ status: 1, outcome: "incomplete" });
    expect(refused.stderr).toBe("veneer: 0 moved onto debian@2, 4 could not be moved");
    for (const { state, message } of refused.members)
      expect([state, message]).toEqual(["failed", expect.stringContaining(`process ${keeper.pid}`)]);
    expect(readFileSync(join(host.run, "mnt/web1/etc/own"), "utf8")).toBe("mine\n");
    expect(await versions()).toBe("1111");
    const ended = new Promise((resolve) => keeper.once("close", resolve));
    keeper.kill("SIGKILL");
    await ended;
    await expect.poll(rollout).toMatchObject({ status: 0 });
    expect(readFileSync(join(host.run, "mnt/web1/etc/own"), "utf8")).toBe("mine\n");
  });

  it("waits for a moment for one that is being changed", async () => {
    const held = spawn("flock", [join(host.root, "instances/web2"), "sh", "-c", "echo held; sleep 0.25"]);
    const ended = new Promise((resolve) => held.once("close", resolve));
    await new Promise((resolve) => held.stdout.once("data", resolve));
    expect(await rollout()).toMatchObject({ status: 0, outcome: "done" });
    await ended;
  });

  it("is one at a time for a base, and says who has it", async () => {
    await host.ok("mount", "web1");
    const first = spawn(join(host.bin, "veneer"), [
      "rollout",
      "debian",
      "--check",
      `touch ${log}; exec sleep 60`,
    ]);
    const ended = new Promise((resolve) => first.once("close", resolve));
    await waitFor(() => existsSync(log));
    const { status, stderr } = await host.veneer("rollout", "debian@3");
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^veneer: base debian is being rolled out by process [0-9]+ \(onto debian@2, begun .*\)/,
      ),
    ]);
    first.kill("SIGINT");
    expect(await ended).toBe(1);
    // what was moved stays, what was not checked is checked by the next
    expect(await versions()).toBe("2222");
    rmSync(log);
    expect(await rollout(...check())).toMatchObject({ status: 0, outcome: "done" });
    expect(lines()).toEqual(["web1"]);
  });

  it("ends between two at SIGTERM, and goes on when it is called again", async () => {
    await mountAll();
    const words = [
      "rollout",
      "debian",
      "--batch",
      "1",
      "--check",
      `kill -TERM $(cat ${log}.pid); exec sleep 60`,
    ];
    const script = `echo $$ > ${log}.pid; exec "$@"`;
    const { status, stderr } = await sh("sh", ["-c", script, "sh", join(host.bin, "veneer"), ...words]);
    expect([status, stderr]).toEqual([
      1,
      "veneer: interrupted: 1 are on debian@2, 3 are not; hint: 'veneer rollout debian@2' goes on, 'veneer rollout debian --revert' moves back what has moved",
    ]);
    expect(await versions()).toBe("2111");
    // a newer version takes its place, and a failing check leads back to before
    await host.ok("base", "use", "debian@3");
    const next = await rollout(...check("web4"));
    expect(next).toMatchObject({ status: 1, outcome: "back" });
    expect(next.stderr).toContain("took the place of the unfinished rollout onto debian@2");
    expect(await versions()).toBe("1111");
  });

  it.each([
    [["debian", "--batch", "0"], 2, "--batch '0' is not a number"],
    [["debian", "--canary", "x"], 2, "--canary 'x' is not a number"],
    [["debian", "--check", " "], 2, "--check needs a command"],
    [["debian@1", "--revert"], 2, "--revert takes no version"],
    [["debian", "--revert"], 1, "base debian has no unfinished rollout"],
    // its earlier name
    [["debian", "--back"], 1, "base debian has no unfinished rollout"],
    [["none"], 1, "no base none in"],
    [["debian@9"], 1, "no base debian@9 in"],
    [["No"], 2, "base name 'No' is not valid"],
  ])("refuses %j and changes nothing", async (words, wanted, message) => {
    const { status, stderr } = await host.veneer("rollout", ...words);
    expect([status, stderr]).toEqual([wanted, expect.stringContaining(message)]);
    expect(await versions()).toBe("1111");
    expect(existsSync(join(host.root, "bases/debian/rollout"))).toBe(false);
  });

  it("killed at any call goes on to the same end when it is called again", { timeout: 600_000 }, async () => {
    const words = ["rollout", "debian", "--canary", "1", "--batch", "2"];
    const record = join(host.dir, "calls");
    const program = join(host.bin, "veneer");
    await must("strace", [...recordTo(record), program, ...words]);
    const moments = momentsOf(record).filter(({ call }) =>
      ["renameat2", "unlinkat", "fsync", "mkdirat"].includes(call),
    );
    expect(moments.length).toBeGreaterThan(10);
    for (const moment of moments) {
      await host.ok("rollout", "debian@1");
      await sh("strace", [...killAt(moment), program, ...words]);
      const seen = await versions();
      expect(seen).toMatch(/^2*1*$/);
      const { status } = await host.veneer("rollout", "debian", "--canary", "1", "--batch", "2");
      expect([moment, status, await versions()]).toEqual([moment, 0, "2222"]);
    }
    await host.ok("gc");
    expect(existsSync(stateFile)).toBe(false);
  });

  it("killed while it takes back goes on with that", async () => {
    await mountAll();
    mkdirSync(join(host.dir, "once"), { recursive: true });
    const stopped = await rollout("--no-rollback", ...check("web4"));
    expect(stopped.outcome).toBe("stopped");
    await sh("strace", [
      ...killAt({ call: "umount2", when: 3 }),
      join(host.bin, "veneer"),
      "rollout",
      "debian",
      "--revert",
    ]);
    expect((await versions()).split("").sort().join("")).toBe("1122");
    await host.ok("mount", "--all");
    // no check, and nothing is moved forward
    expect(await rollout()).toMatchObject({ status: 1, outcome: "back" });
    expect(await versions()).toBe("1111");
    expect(existsSync(stateFile)).toBe(false);
  });
});
