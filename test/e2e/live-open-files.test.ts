/** What a running container has open while it is given another root. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { nextId } from "../helpers/bundle.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { begin, failure, plantVersions, type Running, withPerl } from "../helpers/live.ts";
import { definition } from "../helpers/parts.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
beforeAll(() => plantVersions(host));

let instance: string;
let container: Running;

beforeEach(async () => {
  instance = nextId();
  await host.ok("create", instance, "b@1");
  container = await begin(host, "runc wrapped", WORKER, instance, withPerl);
});
afterEach(async () => {
  await container.stop();
  await host.ok("gc");
  // the parts may be being merged
  await expect.poll(async () => failure(await host.veneer("rm", instance))).toBe("");
  await expect.poll(() => leftovers(host)).toEqual([]);
});

/** Runs in the background whatever is put into /job, as the container's own child. */
const WORKER =
  "while :; do if [ -e /job ]; then mv /job /running; sh /running & while [ -e /running ]; do sleep 0.01; done; fi; sleep 0.01; done";

const work = async (script: string) => {
  await container.exec(`cat > /job.new <<'END'\nrm /running\n${script}\nEND\nmv /job.new /job`);
};

const rebase = (...options: string[]) => host.veneer("rebase", instance, "b@2", ...options);
const perl = (script: string) => work(`exec /usr/bin/perl -e '${script}'`);
/** Waits until the container has the file `path`. */
const until = (path: string) =>
  expect.poll(() => container.exec(`ls ${path} 2>/dev/null || true`)).toBe(path);
const version = () => container.exec("cat /etc/version");

async function expectRefused(what: RegExp): Promise<void> {
  expect(await rebase("--dry-run")).toMatchObject({ status: 0, stderr: expect.stringMatching(what) });
  expect(await rebase()).toMatchObject({ status: 1, stdout: "", stderr: expect.stringMatching(what) });
  expect(await version()).toBe("1");
  expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([{ instance, version: 1 }]);
  expect(existsSync(join(host.root, "instances", instance, "1/parts/1"))).toBe(false);
  const intents = join(host.run, "moving");
  expect(existsSync(intents) ? readdirSync(intents) : []).toEqual([]);
}

describe("a log", () => {
  it.each([
    ["appended to", ">>"],
    ["written from its start", ">"],
  ])("%s loses and repeats no line over several rebases", async (_what, how) => {
    const script = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo $i >&7; done; echo end >&7";
    await container.exec("mkdir -p /var/log/app; chown 7:8 /var/log/app; chmod 1770 /var/log/app");
    await work(`exec 7${how}/var/log/app/log; ${script}`);
    await until("/var/log/app/log");
    for (const to of ["b@2", "b@1", "b@2"]) {
      expect(failure(await host.veneer("rebase", instance, to))).toBe("");
      // who opens it now sees what is written by who opened it before the first rebase
      const before = Number(await container.exec("wc -l < /var/log/app/log"));
      await expect
        .poll(async () => Number(await container.exec("wc -l < /var/log/app/log")))
        .toBeGreaterThan(before);
    }
    expect(await container.exec("stat -c '%u %g %a' /var/log/app")).toBe("7 8 1770");
    await container.exec("touch /stop");
    await expect.poll(() => container.exec("tail -n 1 /var/log/app/log")).toBe("end");
    expect(await container.exec("head -n -1 /var/log/app/log | sort -n | uniq | wc -l")).toBe(
      await container.exec("head -n -1 /var/log/app/log | wc -l"),
    );
    expect(await container.exec("tail -n 2 /var/log/app/log | head -n 1")).toBe(
      await container.exec("head -n -1 /var/log/app/log | wc -l"),
    );
  });

  it("takes lines of writers from before and after in turn", async () => {
    await work("exec 7>>/log; while [ ! -e /stop ]; do echo old >&7; sleep 0.01; done");
    await until("/log");
    await rebase();
    await container.exec("for i in 1 2 3 4 5 6 7 8 9; do echo new >> /log; sleep 0.02; done; touch /stop");
    expect(await container.exec("grep -c new /log")).toBe("9");
    expect(await container.exec("grep -v -x -e old -e new /log | wc -l")).toBe("0");
    const upper = (part: string) => join(host.root, "instances", instance, "1", part, "upper/log");
    expect([existsSync(upper(".")), existsSync(upper("parts/1"))]).toEqual([false, true]);
  });
});

describe("what stands in the way", () => {
  it("a file open for reading and writing; with --force both sides see the same bytes", async () => {
    await perl(
      'open F, "+>", "/db"; F->autoflush; open R, ">", "/ready"; while (1) { sysseek F, 0, 0; sysread F, $x, 5; if ($x eq "query") { sysseek F, 0, 0; syswrite F, "reply" } select undef, undef, undef, 0.01 }',
    );
    await until("/ready");
    await expectRefused(/\/db \(process \d+, \/usr\/bin\/perl .*open for reading and writing/);
    expect(await rebase("--force")).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("passed over: /db"),
    });
    expect(await version()).toBe("2");
    await container.exec("printf query | dd of=/db conv=notrunc 2>/dev/null");
    await expect.poll(() => container.exec("cat /db")).toBe("reply");
  });

  it("a file with a lock on it", async () => {
    await perl('open F, ">>", "/lock"; flock F, 2; open R, ">", "/ready"; sleep 100');
    await until("/ready");
    await expectRefused(/\/lock \(process \d+, .*holds a lock on it/);

    const lock = `/usr/bin/perl -e 'open F, ">>", "/lock"; print flock(F, 6) ? "got it" : "held"'`;
    expect(await container.exec(lock)).toBe("held");
    expect(failure(await rebase("--force"))).toBe("");
    expect(await container.exec(lock)).toBe("got it");
  });

  it("a database, whose inode number stays as it is when the lower parts are merged", async () => {
    await container.exec("echo 1 > /db; echo 1 > /other");
    for (let part = 1; part < 16; part++) {
      expect(failure(await host.veneer("rebase", instance, `b@${(part % 2) + 1}`))).toBe("");
    }
    await perl('open F, "+<", "/db"; open R, ">", "/ready"; print while sleep 1');
    await until("/ready");
    const inode = () => container.exec("stat -c '%i %h' /db");
    const before = await inode();
    const refused = /\/db \(process \d+, \/usr\/bin\/perl .*open for reading and writing/;
    expect(await host.veneer("rebase", instance, "b@1")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(refused),
    });
    expect(await inode()).toBe(before);
    // they were merged, and hold nothing: it went along each time
    expect(definition(host, instance)).toMatchObject({ parts: 15, folded: 14 });
    expect(readdirSync(join(host.root, "instances", instance, "1/upper"))).toEqual([]);
  });

  it("a shared mapping of a file that is closed", async () => {
    await perl(
      'use POSIX; open F, "+>", "/map"; truncate F, 4096; require "syscall.ph" if 0; $a = syscall(9, 0, 4096, 3, 1, fileno F, 0); close F; open R, ">", "/ready"; sleep 100',
    );
    await until("/ready");
    await expectRefused(/\/map \(process /);
  });

  it("a socket that listens on a file, which is refused before the container is stopped", async () => {
    await perl('use IO::Socket::UNIX; $s = IO::Socket::UNIX->new(Local => "/sock", Listen => 1); sleep 100');
    await until("/sock");
    await expectRefused(/\/sock \(process \d+, .*listens on this socket/);

    // what --force does: those who are connected stay so, those who come later are refused
    const connect = `/usr/bin/perl -e 'use IO::Socket::UNIX; $s = IO::Socket::UNIX->new(Peer => "/sock"); print $s ? "connected" : "$!"'`;
    expect(await container.exec(connect)).toBe("connected");
    expect(failure(await rebase("--force"))).toBe("");
    expect(await container.exec(connect)).toBe("Connection refused");
    await perl(
      'use IO::Socket::UNIX; unlink "/sock"; $s = IO::Socket::UNIX->new(Local => "/sock", Listen => 1); open R, ">", "/again"; sleep 100',
    );
    await until("/again");
    expect(await container.exec(connect)).toBe("connected");
  });

  it("a FIFO", async () => {
    await container.exec("mkfifo /fifo 2>/dev/null || /usr/bin/mkfifo /fifo");
    await work("exec 7<>/fifo; while :; do sleep 1; done");
    await expect.poll(async () => (await rebase("--dry-run")).stderr).toContain("FIFO");
    await expectRefused(/\/fifo \(process .*FIFO/);
  });
});

describe("what does not stand in the way", () => {
  it("a deleted file, a file of a volume, and one that is only read", async () => {
    await container.exec("echo text > /read; touch /deleted; mkdir -p /run/x");
    await work("exec 7<>/deleted 8</read 9<>/dev/x; rm /deleted; while :; do sleep 1; done");
    await expect.poll(() => container.exec("ls /deleted 2>/dev/null || echo gone")).toBe("gone");
    expect(failure(await rebase())).toBe("");
    expect(await version()).toBe("2");
  });

  it("a journal of systemd, which its one writer has mapped", async () => {
    await perl(
      'open F, "+>", "/j"; syswrite F, "LPKSHHRH"; truncate F, 4096; $a = syscall(9, 0, 4096, 3, 1, fileno F, 0); open R, ">", "/ready"; sleep 100',
    );
    await until("/ready");
    expect(failure(await rebase())).toBe("");
    expect(await version()).toBe("2");
  });

  it("a file that is written and has another name", async () => {
    await container.exec("echo x > /one; ln /one /two");
    await work("exec 7>>/one; while [ ! -e /go ]; do sleep 0.01; done; echo y >&7; touch /done; sleep 100");
    await expect.poll(async () => (await rebase("--dry-run")).stderr).toMatch(/[:,] \/one\b/);
    expect(failure(await rebase())).toBe("");
    await container.exec("touch /go");
    await until("/done");
    expect(await container.exec("cat /two; stat -c %h /one")).toBe("x\ny\n2");
  });

  it("a database that is open only for moments", async () => {
    await perl(
      'while (!-e "/stop") { open F, "+>>", "/db"; flock F, 2; select undef, undef, undef, 0.005; close F; select undef, undef, undef, 0.005; $n++; open C, ">", "/count"; print C $n; close C }',
    );
    await until("/count");
    expect(failure(await rebase())).toBe("");
    expect(await version()).toBe("2");
  });
});
