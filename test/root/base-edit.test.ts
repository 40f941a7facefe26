import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

/** Seconds that no other process of the machine sleeps. */
const NAP = 1_000_000 + 10 * process.pid;

const host = makeHost();
const source = join(host.dir, "source");
const tree = async (ref: string): Promise<string> =>
  JSON.parse(await host.ok("base", "show", ref, "--json")).layers[0].path;
const log = async (name: string) => JSON.parse(await host.ok("base", "log", name, "--json"));
const edit = (name: string, script: string) =>
  host.veneer("base", "edit", name, "--always", "--", "sh", "-c", script);

beforeAll(async () => {
  makeTree(source);
  await host.ok("base", "import", "debian", source);
});
afterAll(() => host.remove());

const nothingLeft = () => {
  expect(readdirSync(join(host.root, "staging"))).toEqual([]);
  expect(readdirSync(join(host.root, "trash"))).toEqual([]);
  expect(existsSync(join(host.root, "bases/debian/session"))).toBe(false);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(`${host.run}/edit`);
  expect(readdirSync(join(host.run, "edit"))).toEqual([]);
};

describe("base edit with a command", () => {
  it("publishes what the command did, and only that", async () => {
    const done = await edit("debian", "echo hello >/etc/hello; rm /etc/os-release; echo said");
    expect(done).toMatchObject({ status: 0, stdout: "said\ndebian@2", stderr: "" });
    const layer = await tree("debian");
    expect((await must("find", [".", "-printf", "%P %y\n"], { cwd: layer })).split("\n").sort()).toEqual([
      " d",
      "etc d",
      "etc/hello f",
      "etc/os-release c",
    ]);
    nothingLeft();
  });

  it("gives it /proc, /sys, a /dev of its own, the host's network and resolv.conf, and none of these stays", async () => {
    const done = await edit(
      "debian",
      `test -r /proc/self/status && test -d /sys/class && echo x >/dev/null && test -c /dev/urandom &&
       test ! -e /dev/loop0 && test -w /dev/shm && cat /etc/resolv.conf && cat /proc/net/route && ps`,
    );
    expect(done.status, done.stderr).toBe(0);
    expect(done.stdout).toContain(readFileSync("/etc/resolv.conf", "utf8").trim());
    expect(done.stdout).toContain(readFileSync("/proc/net/route", "utf8").trim());
    expect(done.stdout.match(/\bsh -c/g)?.length, "a pid namespace").toBeLessThan(5);
    expect(readdirSync(await tree("debian"))).toEqual([]);
    nothingLeft();
  });

  it("works on a base that has no /proc, /sys, /dev and no /etc, and adds none", async () => {
    const bare = join(host.dir, "bare");
    mkdirSync(join(bare, "bin"), { recursive: true });
    await must("cp", ["/bin/busybox", join(bare, "bin/sh")]);
    await host.ok("base", "import", "bare", bare);
    const done = await edit(
      "bare",
      "read pid rest </proc/self/stat && : >/dev/null && : </etc/resolv.conf && : >/new",
    );
    expect(done.status, done.stderr).toBe(0);
    expect(readdirSync(await tree("bare"))).toEqual(["new"]);
    expect(await edit("bare", "[ ! -e /proc/self ] || : >/etc/new")).toMatchObject({ status: 0 });
    expect(readdirSync(join(await tree("bare"), "etc"))).toEqual(["new"]);
  });

  it("drops everything and gives the status when the command fails", async () => {
    const before = (await log("debian")).length;
    for (const [script, status] of [
      ["touch /no; exit 7", 7],
      ["kill -9 $$", 137],
      ["nosuchcommand", 127],
    ] as const) {
      const failed = await edit("debian", script);
      expect(failed.status).toBe(status);
      expect(failed.stdout).toBe("");
      expect(failed.stderr).toMatch(new RegExp(`ended with status ${status}: base debian is unchanged`));
    }
    expect(await log("debian")).toHaveLength(before);
    nothingLeft();
  });

  it("cannot reach the host's files, not even as root", async () => {
    const script = "mkdir /x; chroot /x true 2>/dev/null; cd /; ls ../../../../../../../../../../..";
    const done = await edit("debian", script);
    expect(done.stdout.split("\n")).toContain("home");
    expect(done.stdout).not.toContain(host.root);
    const mounts = (await edit("debian", "cat /proc/1/root/proc/self/mountinfo")).stdout.split("\n");
    expect(
      mounts.filter((line) => / - (ext4|xfs|btrfs) /.test(line)).map((line) => line.split(" ")[3]),
    ).toEqual([expect.stringMatching(/resolv.conf$/)]);
  });

  it("ends every process of the command", async () => {
    const done = await edit("debian", `(sleep ${NAP} & until grep -q sleep /proc/$!/comm; do :; done)`);
    expect(done.status).toBe(0);
    expect((await sh("pgrep", ["-f", `^sleep ${NAP}$`])).stdout).toBe("");
  });

  it("refuses a second session meanwhile, and a removal", async () => {
    const child = spawn(join(host.bin, "veneer"), [
      "base",
      "edit",
      "debian",
      "--",
      "sh",
      "-c",
      "echo on; read x; exit 3",
    ]);
    await once(child.stdout, "data");
    const second = await edit("debian", "true");
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/base debian is being edited by 'sh -c echo on/);
    expect((await host.veneer("base", "edit", "debian")).stderr).toMatch(/is being edited/);
    expect((await host.veneer("base", "commit", "debian")).stderr).toMatch(/is being edited/);
    expect((await host.veneer("base", "rm", "debian")).stderr).toMatch(/used by the editing session/);
    expect(await host.ok("gc")).toBe("freed nothing");
    child.stdin.end("\n");
    expect(await once(child, "exit")).toEqual([3, null]);
    nothingLeft();
  });

  it.each(["SIGTERM", "SIGHUP"] as const)("drops the session on %s", async (signal) => {
    const child = spawn(join(host.bin, "veneer"), [
      "base",
      "edit",
      "debian",
      "--",
      "sh",
      "-c",
      "trap '' TERM HUP; echo on; sleep 1000",
    ]);
    await once(child.stdout, "data");
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([signal === "SIGTERM" ? 143 : 129, null]);
    nothingLeft();
  });

  it("leaves a session that the next one or gc drops when it is killed itself", async () => {
    for (const next of [() => host.veneer("gc"), () => edit("debian", "true")]) {
      const child = spawn(join(host.bin, "veneer"), [
        "base",
        "edit",
        "debian",
        "--",
        "sh",
        "-c",
        `echo on; sleep ${NAP + 1}`,
      ]);
      await once(child.stdout, "data");
      child.kill("SIGKILL");
      await once(child, "exit");
      await expect.poll(async () => (await sh("pgrep", ["-f", `^sleep ${NAP + 1}$`])).stdout).toBe("");
      expect(existsSync(join(host.root, "bases/debian/session"))).toBe(true);
      expect((await next()).status).toBe(0);
      rmSync(join(host.run, "edit/debian"), { recursive: true, force: true });
      nothingLeft();
    }
  });

  it("stacks a layer on a directory in place, which stays as it is", async () => {
    await host.ok("base", "import", "here", source, "--in-place");
    expect((await edit("here", "echo changed >/etc/os-release")).stdout).toBe("here@2");
    expect(readFileSync(join(source, "etc/os-release"), "utf8")).toBe("ID=veneer-test\n");
    expect(readFileSync(join(await tree("here"), "etc/os-release"), "utf8")).toBe("changed\n");
  });
});

describe("base edit by hand", () => {
  it("is mounted again after a reboot, with what was changed, and committed", async () => {
    const point = await host.ok("base", "edit", "debian");
    expect(point).toBe(join(host.run, "edit/debian"));
    writeFileSync(join(point, "etc/by-hand"), "x");
    await must("umount", [point]);
    rmSync(host.run, { recursive: true });
    expect(await host.ok("base", "edit", "debian")).toBe(point);
    expect(await host.ok("base", "edit", "debian")).toBe(point);
    expect(existsSync(join(point, "etc/by-hand"))).toBe(true);
    expect(await host.ok("gc")).toBe("freed nothing");
    const next = (await log("debian"))[0].version + 1;
    expect(await host.ok("base", "commit", "debian", "-m", "line\nbreak")).toBe(`debian@${next}`);
    expect(readFileSync(join(await tree("debian"), "etc/by-hand"), "utf8")).toBe("x");
    expect((await log("debian"))[0]).toMatchObject({ version: next, current: true, origin: "line\nbreak" });
    expect(await host.ok("base", "log", "debian")).toContain("line break");
    nothingLeft();
  });

  it("is not committed while somebody works in it", async () => {
    const point = await host.ok("base", "edit", "debian");
    const inside = spawn("sh", ["-c", "echo in; read x"], { cwd: point });
    await once(inside.stdout, "data");
    const busy = await host.veneer("base", "commit", "debian");
    expect(busy.status).toBe(1);
    expect(busy.stderr).toMatch(/a process still works in the session.*EBUSY.*hint: leave/);
    inside.stdin.end();
    await once(inside, "exit");
    await host.ok("base", "abort", "debian");
    nothingLeft();
  });

  it("is dropped by abort, and there is none to commit then", async () => {
    const before = await log("debian");
    const point = await host.ok("base", "edit", "debian");
    writeFileSync(join(point, "no"), "x");
    expect(await host.veneer("base", "abort", "debian")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(await log("debian")).toEqual(before);
    for (const verb of ["commit", "abort"]) {
      const none = await host.veneer("base", verb, "debian");
      expect(none.stderr).toMatch(
        /base debian has no editing session; hint: 'veneer base edit debian' opens one/,
      );
    }
    nothingLeft();
  });

  it("is refused when the base went on meanwhile, unless it is forced", async () => {
    await host.ok("base", "edit", "debian");
    await host.ok("base", "import", "debian", source);
    const refused = await host.veneer("base", "commit", "debian");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(
      /the session stands on version \d+: base debian is at version \d+.*--force/,
    );
    expect((await host.veneer("base", "commit", "debian", "--force", "--always")).status).toBe(0);
  });
});

describe("base use, base new", () => {
  it("moves the current version back and forth", async () => {
    const last = (await log("debian"))[0].version;
    expect(await host.ok("base", "use", "debian@1")).toBe("debian@1");
    expect(JSON.parse(await host.ok("base", "show", "debian", "--json")).version).toBe(1);
    expect((await edit("debian", "true")).stdout).toBe(`debian@${last + 1}`);
    expect(await host.ok("base", "use", `debian@${last}`)).toBe(`debian@${last}`);
    expect((await host.veneer("base", "use", "debian")).status).toBe(2);
    expect((await host.veneer("base", "use", "debian@99")).stderr).toMatch(/no base debian@99/);
  });

  it("stacks one base on another, whose version stays", async () => {
    expect(await host.ok("base", "new", "apps", "--from", "debian@2")).toBe("apps@1");
    expect((await edit("apps", "cat /etc/hello; touch /app")).stdout).toBe("hello\napps@2");
    expect((await log("apps"))[1].bytes).toBe(0);
    const refused = await host.veneer("base", "rm", "debian@2");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/used by base apps@1 \(on debian@2\), base apps@2/);
    expect((await host.veneer("base", "new", "apps", "--from", "debian")).stderr).toMatch(
      /apps exists already/,
    );
    expect((await host.veneer("base", "new", "x", "--from", "none")).stderr).toMatch(/no base none/);
    await host.ok("base", "rm", "apps");
    await host.ok("base", "rm", "debian@2");
    expect((await edit("debian", "true")).status).toBe(0);
  });

  it("refuses a base in place that holds the store, before anything runs", async () => {
    await host.ok("base", "import", "around", host.dir, "--in-place");
    const refused = await edit("around", "touch /ran");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(
      /around@1 takes no layer above it: ELOOP: .*; hint: it is used in place and holds the store/,
    );
    expect(existsSync(join(host.dir, "ran"))).toBe(false);
    await host.ok("create", "in-it", "around");
    expect((await host.veneer("commit", "in-it", "above")).stderr).toMatch(/takes no layer above it/);
    await host.ok("rm", "in-it");
    expect(readdirSync(join(host.root, "staging"))).toEqual([]);
  });

  it("frees every layer when all bases are gone", async () => {
    for (const { name } of JSON.parse(await host.ok("base", "ls", "--json")))
      await host.ok("base", "rm", name);
    expect(readdirSync(join(host.root, "layers"))).toEqual([]);
    expect(await host.ok("gc")).toBe("freed nothing");
  });
});
