/** What a container wrote is, after a live rebase, what it was: names, numbers, links, directories. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { nextId } from "../helpers/bundle.ts";
import { makeHost, must, plainCrun } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { begin, failure, plantVersions, type Running, WAYS, withPerl } from "../helpers/live.ts";
import { need } from "../helpers/need.ts";
import { definition, partsOf } from "../helpers/parts.ts";

const host = makeHost();
const crun = plainCrun(host);
beforeAll(async () => {
  plantVersions(host);
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});

let instance: string;
let container: Running;

async function start(way = "runc wrapped", command = "while :; do sleep 0.05; done"): Promise<void> {
  instance = nextId();
  await host.ok("create", instance, "b@1");
  container = await begin(host, way, command, instance, withPerl);
}

afterEach(async () => {
  await container.stop();
  await expect.poll(() => partsOf(host, instance)).toMatchObject({ parts: undefined, left: [] });
  await expect.poll(async () => failure(await host.veneer("rm", instance))).toBe("");
  await expect.poll(() => leftovers(host)).toEqual([]);
});

const rebase = (to: number, ...options: string[]) => host.veneer("rebase", instance, `b@${to}`, ...options);
const until = (path: string) =>
  expect.poll(() => container.exec(`ls ${path} 2>/dev/null || true`)).toBe(path);
const move = (from: string, to: string) =>
  container.exec(`/usr/bin/perl -e 'rename "${from}", "${to}" or print "$!"'`);

describe.each(WAYS)("%s: after a live rebase", (way) => {
  it("names of one file stay names of one file, and directories of its own are renamed", async () => {
    await start(way);
    await container.exec(
      "echo A > /h1; ln /h1 /h2; mkdir -p /data/deep /etc/own/deep; echo B > /data/deep/x; ln /data/deep/x /etc/own/y",
    );
    const numbers = () => container.exec("stat -c '%n %i %h' /h1 /h2 /data/deep/x /etc/own/y /data /etc/own");
    const before = await numbers();
    for (const version of [2, 1, 2]) {
      expect(await rebase(version)).toMatchObject({
        status: 0,
        stderr: expect.not.stringMatching(/hard links/),
      });
      expect(await numbers()).toBe(before);
    }
    await container.exec("echo C >> /h1; echo D >> /etc/own/y");
    expect(await container.exec("cat /h2 /data/deep/x")).toBe("A\nC\nB\nD");
    expect(await move("/data/deep", "/data/moved")).toBe("");
    expect(await move("/etc/own", "/etc/renamed")).toBe("");
    expect(await move("/data", "/home/data")).toBe("");
    expect(await container.exec("cat /home/data/moved/x /etc/renamed/y /etc/version")).toBe("B\nD\nB\nD\n2");
    // it is all in the highest part, and becomes one upper in one step
    expect(definition(host, instance)).toMatchObject({ parts: 3 });
  });
});

describe("after a live rebase", () => {
  it("a file of the base that it changed keeps its inode number", async () => {
    await start();
    await container.exec("echo more >> /etc/passwd");
    const number = () => container.exec("stat -c '%i' /etc/passwd; ls -i /etc | grep passwd");
    const before = await number();
    expect(failure(await rebase(2))).toBe("");
    expect(await number()).toBe(before);
    await container.exec("echo more >> /etc/passwd");
    expect(await number()).toBe(before);
  });

  it("a process in a directory of its own, and one that has a file mapped, see what others write there", async () => {
    const mapped =
      'open F, "+>", "/srv/work/map"; truncate F, 4096; $a = syscall(9, 0, 4096, 3, 1, fileno F, 0); close F; open R, ">", "ready"; until (grep { $_ eq "stop" } @n) { select undef, undef, undef, 0.01; opendir D, "."; @n = readdir D } open O, ">", "out"; print O unpack("P3", pack("Q", $a)); close O; sleep 1000';
    await start("runc wrapped", `mkdir -p /srv/work; cd /srv/work; exec /usr/bin/perl -e '${mapped}'`);
    await until("/srv/work/ready");
    expect(failure(await rebase(2, "--force"))).toBe("");
    await container.exec("printf new | dd of=/srv/work/map conv=notrunc 2>/dev/null; touch /srv/work/stop");
    await until("/srv/work/out");
    await expect.poll(() => container.exec("cat /srv/work/out")).toBe("new");
  }, 60_000);
});

describe("what is not kept is reported before and after", () => {
  it.for([
    ["inotify", "syscall(254, syscall(253), $p, 2)"],
    // FAN_REPORT_FID, for which a container needs no privilege; FAN_MARK_ADD of FAN_OPEN
    ["fanotify", "syscall(301, syscall(300, 0x200, 0), 1, 0x20, -100, $p)"],
  ])("watches of %s", async ([kind, add], context) => {
    if (kind === "fanotify" && !isLinux("6.6"))
      return context.skip("overlayfs has no identifiers of files for fanotify before Linux 6.6");
    const watch = `$p = "/etc"; ${add} >= 0 or die $!; open R, ">", "/ready"; sleep 1000`;
    await start("runc wrapped", `exec /usr/bin/perl -e '${watch}'`);
    await until("/ready");
    const line = /needs a restart: process \d+, \/usr\/bin\/perl.*: watch/;
    expect(await rebase(2, "--dry-run")).toMatchObject({ status: 0, stderr: expect.stringMatching(line) });
    const report = JSON.parse((await rebase(2, "--dry-run", "--json")).stdout);
    expect(report).toMatchObject({
      blockers: [],
      stale: expect.arrayContaining([expect.objectContaining({ kind: "watch", pid: container.pid })]),
    });
    expect(await rebase(2)).toMatchObject({ status: 0, stderr: expect.stringMatching(line) });
  });

  it("a process that keeps a copy of the root in a user namespace of its own: it misses nothing", async () => {
    const nested =
      "busybox unshare -U -m sh -c 'touch /nested; until [ -e /stop ]; do sleep 0.02; done; cat /own/file > /out; sleep 1000'";
    await start(
      "runc wrapped",
      `mkdir /own; echo 1 > /own/file; ln /own/file /own/other; ${nested}; sleep 1000`,
    );
    await until("/nested");
    const line = /hard links are separated .*: process \d+, sh -c .*has a copy of the root that stays/;
    expect(await rebase(2, "--dry-run")).toMatchObject({ status: 0, stderr: expect.stringMatching(line) });
    expect(await rebase(2)).toMatchObject({ status: 0, stderr: expect.stringMatching(line) });
    expect(await container.exec("cat /etc/version /own/other")).toBe("2\n1");
    // the old root shows what it showed
    const root = `/proc/${await nestedPid()}/root`;
    await must("touch", [join(root, "stop")]);
    await expect.poll(() => readFileSync(join(root, "out"), "utf8")).toBe("1\n");
  });

  it("more entries of its root than a pause has time for", async () => {
    await start();
    await container.exec("for i in $(seq 1025); do : > /top$i; done; echo 1 > /top1");
    const line = /hard links are separated .*: its root has 10[0-9][0-9] entries of its own/;
    expect(await rebase(2, "--dry-run")).toMatchObject({ status: 0, stderr: expect.stringMatching(line) });
    expect(await rebase(2)).toMatchObject({ status: 0, stderr: expect.stringMatching(line) });
    expect(await container.exec("cat /etc/version /top1; ls / | grep -c top")).toBe("2\n1\n1025");
  });

  it("an entry that cannot be moved: all stays where it was, and shows the same", async (context) => {
    await start();
    await container.exec("mkdir /fixed /own; echo 1 > /own/file; ln /own/file /own/other");
    const fixed = join(host.root, "instances", instance, "1/upper/fixed");
    await need(context, "chattr", () => must("chattr", ["+i", fixed]));
    try {
      const line = /its own directories cannot be renamed: \/fixed cannot be moved \(EPERM\)/;
      expect(await rebase(2)).toMatchObject({ status: 0, stderr: expect.stringMatching(line) });
      expect(await container.exec("cat /etc/version /own/other; ls -d /fixed")).toBe("2\n1\n/fixed");
      expect(await move("/own", "/renamed")).toContain("cross-device");
    } finally {
      await must("chattr", ["-i", fixed]);
    }
  });
});

/** The only child of the container's first process. */
const nestedPid = async () => (await must("pgrep", ["-P", String(container.pid)])).trim();
